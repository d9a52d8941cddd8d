"""CIFAR-10 in both official forms; a pickle that would do more than hold pixels is refused and not run."""

import io
import pickle
import pickletools
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from kakusan.data import load
from kakusan.data.sources import cifar10
from kakusan.errors import KakusanError

N = 4
PIXELS = np.random.default_rng(0).integers(256, size=(5, N, 3072), dtype=np.uint8)
LABELS = np.arange(5 * N).reshape(5, N) % 10


def python_batch(number):
    """A batch as Python 3 pickles it in the second protocol."""
    labels = LABELS[number].tolist()
    return pickle.dumps({"batch_label": "training", "labels": labels, "data": PIXELS[number]}, protocol=2)


def original_batch(number):
    """A batch as Python 2 and its numpy pickled the official one: text is bytes, and so are the pixels."""

    def text(value):
        return b"T" + struct.pack("<I", len(value)) + value

    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\0K\1\x87R(K\3"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text(b"b") + b"\x87R"
    state = b"(K\1K\4M\0\x0c\x86" + dtype + b"\x89" + text(PIXELS[number].tobytes()) + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS[number]) + b"e"
    content = b"\x80\x02}(" + text(b"data") + array + state + text(b"labels") + labels + b"u."
    pickletools.dis(content, io.StringIO())
    return content


def binary_batch(number):
    return np.concatenate([LABELS[number][:, None].astype(np.uint8), PIXELS[number]], axis=1).tobytes()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(cifar10, "_IN_BATCH", N)


FORMS = {
    "python": (python_batch, "cifar-10-batches-py/data_batch_{}"),
    "original": (original_batch, "cifar-10-batches-py/data_batch_{}"),
    "binary": (binary_batch, "cifar-10-batches-bin/data_batch_{}.bin"),
}


def files(form):
    batch, name = FORMS[form]
    return {name.format(number + 1): batch(number) for number in range(5)}


def put(root, contents):
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def pack(path, contents):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def check(images):
    assert torch.equal(images.images, torch.from_numpy(PIXELS.reshape(-1, 3, 32, 32)))
    assert images.labels.tolist() == LABELS.flatten().tolist()
    assert images.class_names[3] == "cat"
    assert images.name == "cifar10"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_packed_or_not_from_any_folder_above(tmp_path, form):
    check(load(pack(tmp_path / "any.tar.gz", files(form))))
    root = put(tmp_path / "unpacked", files(form))
    check(load(root))
    (folder,) = root.iterdir()
    check(load(folder))


@pytest.mark.parametrize("archive", cifar10.ARCHIVES)
def test_a_folder_that_holds_the_packed_archive_is_read(tmp_path, archive):
    """As torchvision's root is before anything was unpacked."""
    pack(tmp_path / archive, files("binary" if "binary" in archive else "python"))
    check(load(tmp_path))


def test_the_binary_form_is_preferred(tmp_path):
    python = dict.fromkeys(files("python"), b"never read")
    check(load(put(tmp_path, python | files("binary"))))


@pytest.mark.parametrize("archive", cifar10.ARCHIVES)
def test_the_name_reads_what_lies_in_the_cache(tmp_path, monkeypatch, archive):
    monkeypatch.setattr(cifar10, "user_cache_path", lambda name: tmp_path)
    (tmp_path / "cifar10").mkdir()
    pack(tmp_path / "cifar10" / archive, files("binary" if "binary" in archive else "python"))
    check(load("cifar10"))


def test_the_name_reads_what_was_unpacked_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "user_cache_path", lambda name: tmp_path)
    put(tmp_path / "cifar10", files("python"))
    check(load("cifar10"))


def test_it_is_downloaded_once_and_its_checksum_is_compared(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10, utils

    def download_url(url, root, filename, md5):
        assert (url, md5) == (CIFAR10.url, CIFAR10.tgz_md5)
        pack(tmp_path / "made.tar.gz", files("python")).rename(f"{root}/{filename}")

    monkeypatch.setattr(cifar10, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(utils, "download_url", download_url)
    check(load("cifar10"))
    monkeypatch.delattr(utils, "download_url")
    check(load("cifar10"))


def test_without_a_network_it_says_where_the_archive_can_be_put(tmp_path, monkeypatch):
    from torchvision.datasets import utils

    def download_url(url, root, filename, md5):
        (tmp_path / "cifar10" / filename).write_bytes(b"half of it")
        raise OSError("Network is unreachable")

    monkeypatch.setattr(cifar10, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(utils, "download_url", download_url)
    with pytest.raises(KakusanError, match=r"cannot be downloaded: Network is unreachable \(put cifar-10-.* into /"):
        load("cifar10")
    assert list((tmp_path / "cifar10").iterdir()) == []


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w')",)


def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path):
    trace = tmp_path / "it-ran"
    evil = pickle.dumps({"data": PIXELS[0], "labels": Evil(trace)}, protocol=2)
    contents = files("python") | {"cifar-10-batches-py/data_batch_2": evil}
    with pytest.raises(KakusanError, match=r"data_batch_2 asks for (__builtin__|builtins)\.exec, which no batch"):
        load(put(tmp_path / "data", contents))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("builtins", "getattr"),
        ("_codecs", "lookup"),
    ],
)
def test_only_what_a_batch_holds_is_admitted(tmp_path, module, name):
    contents = files("python") | {"cifar-10-batches-py/data_batch_1": f"c{module}\n{name}\n(tR.".encode()}
    with pytest.raises(KakusanError, match=rf"asks for {module}\.{name}"):
        load(put(tmp_path, contents))


def objects():
    return pickle.dumps({"data": np.array([[{}] * 3072] * N), "labels": [0] * N}, protocol=2)


def test_a_batch_cut_between_two_images_is_none(tmp_path):
    contents = files("binary")
    contents["cifar-10-batches-bin/data_batch_5.bin"] = binary_batch(4)[:-3073]
    with pytest.raises(KakusanError, match=r"data_batch_5\.bin holds 3 images, where a batch of CIFAR-10 holds 4: "):
        load(put(tmp_path, contents))


def test_a_damaged_batch_in_a_zip_is_told_in_one_line(tmp_path):
    path = tmp_path / "cifar.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files("binary").items():
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    content[content.index(PIXELS[2].tobytes()[:32]) + 5] ^= 255
    path.write_bytes(content)
    with pytest.raises(KakusanError, match=r"data_batch_3\.bin cannot be read, it may be cut short: Bad CRC-32"):
        load(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (python_batch(0)[:5000], "cut short or no batch of CIFAR-10"),
        (b"", "cut short or no batch of CIFAR-10"),
        (pickle.dumps([1, 2], protocol=2), "cut short or no batch of CIFAR-10"),
        (objects(), "not bytes"),
        (pickle.dumps({"data": PIXELS[0], "labels": [0] * 3}, protocol=2), r"3 labels for pixels of shape \(4, 3072\)"),
        (pickle.dumps({"data": PIXELS[0][:, 1:], "labels": [0] * 4}, protocol=2), r"of shape \(4, 3071\)"),
        (pickle.dumps({"data": PIXELS[0], "labels": [0, 1, 2, 10]}, protocol=2), "labels from 0 to 10, where classes"),
    ],
)
def test_a_batch_that_is_none_is_told_in_one_line(tmp_path, content, sentence):
    root = put(tmp_path, files("python") | {"cifar-10-batches-py/data_batch_3": content})
    with pytest.raises(KakusanError, match=f"data_batch_3.*{sentence}") as caught:
        load(root)
    assert "\n" not in str(caught.value)


def test_a_binary_batch_that_is_cut_short_is_told(tmp_path):
    contents = files("binary")
    contents["cifar-10-batches-bin/data_batch_5.bin"] = binary_batch(4)[:-1]
    with pytest.raises(KakusanError, match=r"data_batch_5\.bin is cut short: 12,291 bytes"):
        load(put(tmp_path, contents))


def test_a_batch_that_is_missing_is_named(tmp_path):
    contents = files("binary")
    del contents["cifar-10-batches-bin/data_batch_4.bin"]
    with pytest.raises(KakusanError, match=r"holds CIFAR-10 without data_batch_4\.bin"):
        load(put(tmp_path, contents))


def test_a_download_that_was_cut_short_is_told_in_one_line(tmp_path):
    path = pack(tmp_path / "cifar-10-python.tar.gz", files("python"))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(KakusanError, match="cannot be read, it may be cut short"):
        load(path)
