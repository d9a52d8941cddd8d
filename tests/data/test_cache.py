"""A prepared cache holds the bytes that a run would have had, and is read from the disk as they are looked at."""

import errno
import json
import math
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kakusan.data import load, prepare
from kakusan.data.checking import check
from kakusan.data.reading import take
from kakusan.devices import memory
from kakusan.errors import KakusanError


@pytest.fixture
def photos(tmp_path):
    """Images of all sizes and kinds in two classes, one of them broken, some with captions."""
    random = np.random.default_rng(0)
    for index in range(40):
        path = tmp_path / "photos" / ("cat" if index % 3 else "dog") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (random.integers(8, 40), random.integers(8, 40), 3)[: 2 if index < 5 else 3]
        Image.fromarray(random.integers(256, size=shape, dtype=np.uint8)).save(path)
    (tmp_path / "photos/cat/1.png").write_bytes(b"")
    (tmp_path / "photos/cat/7.txt").write_text("eine Katze, ねこ", "utf-8")
    (tmp_path / "photos/dog/9.txt").write_text("dog")
    return tmp_path / "photos"


def check_equal(one, other):
    assert torch.equal(one.images, other.images)
    assert one.labels.tolist() == other.labels.tolist()
    assert (one.class_names, one.captions, one.name) == (other.class_names, other.captions, other.name)
    assert one.names == other.names


@pytest.mark.parametrize("options", [{"size": 16}, {"size": 7, "channels": 1}])
def test_the_cache_holds_what_a_run_would_have_had(photos, tmp_path, options):
    loaded = load(photos, **options)
    written = prepare(photos, tmp_path / "a.safetensors", **options)
    check_equal(written, loaded)
    assert (written.notes, written.skipped) == (loaded.notes, loaded.skipped)
    check_equal(load(tmp_path / "a.safetensors"), loaded)
    assert loaded.captions[loaded.captions.index("dog")] == "dog"


def test_it_is_an_ordinary_safetensors_file(photos, tmp_path):
    images = prepare(photos, tmp_path / "a.safetensors", size=16)
    tensors = load_file(tmp_path / "a.safetensors")
    assert torch.equal(tensors["images"], images.images)
    assert torch.equal(tensors["labels"], images.labels)
    assert images.images.data_ptr() % 4096 == images.labels.data_ptr() % 8 == 0


@pytest.mark.parametrize("source", ["digits", "unlabelled"])
def test_sets_without_captions_or_labels(tmp_path, source):
    (tmp_path / "unlabelled").mkdir()
    Image.new("L", (4, 4), 7).save(tmp_path / "unlabelled" / "a.png")
    source = source if source == "digits" else tmp_path / source
    images, same = prepare(source, tmp_path / "a.safetensors"), load(source)
    assert torch.equal(images.images, same.images)
    assert (images.labels is None) == (same.labels is None)
    assert images.captions == ()


def test_a_cache_of_another_size_is_resized(photos, tmp_path):
    prepare(photos, tmp_path / "a.safetensors", size=16)
    images = load(tmp_path / "a.safetensors", size=8, channels=1)
    assert images.shape == (1, 8, 8)
    assert images.notes[0].startswith("39 colour images became grey")


TRAIN = """
import sys
from pathlib import Path
from kakusan.data import load
from kakusan.data.batches import ImageBatches
from kakusan.seeds import Draws
import torch

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024

batches = ImageBatches(load(sys.argv[1]))
batches(Draws(0, 0, 64), torch.device("cpu"))
before = anonymous()
for step in range(100):
    batches(Draws(0, step, 64), torch.device("cpu"))
print(anonymous() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and a file with a hole costs nothing")
def test_a_set_larger_than_memory_trains_without_being_loaded(tmp_path):
    """What a process maps, the system may drop at any time; what counts is the memory of its own, in MiB."""
    path = tmp_path / "large.safetensors"
    about = {"format": "kakusan images 1", "name": "large", "class_names": "[]", "made_from": "{}"}
    shape = (2 * memory() // (3 * 64 * 64), 3, 64, 64)
    images = {"dtype": "U8", "shape": shape, "data_offsets": [0, math.prod(shape)]}
    header = json.dumps({"__metadata__": about, "images": images}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + math.prod(shape))
    run = subprocess.run([sys.executable, "-c", TRAIN, str(path)], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 100


def test_a_set_larger_than_half_of_the_memory_is_refused_with_the_mend(photos, monkeypatch, tmp_path):
    monkeypatch.setattr("kakusan.data.loading.memory", lambda: 2 * 40 * 3 * 16 * 16 - 1)
    with pytest.raises(
        KakusanError, match=r"more than half of this machine.*\(kakusan data prepare .*photos --size 16 -o"
    ):
        load(photos, size=16)
    prepare(photos, tmp_path / "a.safetensors", size=16)
    assert len(load(tmp_path / "a.safetensors")) == 39


def test_processes_that_train_together_share_the_memory_of_their_machine(photos, monkeypatch):
    monkeypatch.setattr("kakusan.data.loading.memory", lambda: 2 * 40 * 3 * 16 * 16 + 1)
    assert len(load(photos, size=16)) == 39
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(KakusanError, match=r"more than half of this machine"):
        load(photos, size=16)


def test_what_is_there_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_text("mine")
    with pytest.raises(KakusanError, match=r"is there already .*--overwrite"):
        prepare("digits", path)
    assert path.read_text() == "mine"
    assert len(prepare("digits", path, overwrite=True)) == 1797
    with pytest.raises(KakusanError, match=r"ends in \.safetensors"):
        prepare("digits", tmp_path / "a.npz")


def test_too_many_broken_images_leave_no_file(photos, tmp_path):
    with pytest.raises(KakusanError, match="1 of 40 images in photos cannot be read"):
        prepare(photos, tmp_path / "a.safetensors", size=16, max_broken=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(source, begin, **options):
        begin((1, 8, 8))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kakusan.data.cache.take", full)
    with pytest.raises(KakusanError, match=r"No space left on device \(free some space"):
        prepare("digits", tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_cache_that_is_cut_short_is_told_in_one_line(tmp_path, share):
    path = tmp_path / "a.safetensors"
    prepare("digits", path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(KakusanError, match=r"damaged or cut short: .* \(prepare it anew") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def damaged(path, change):
    """Writes the header of a cache as ``change`` leaves it."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    path.write_bytes(content[:8] + json.dumps(header).encode().ljust(length) + content[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["__metadata__"].update(class_names="[1, 2"),
        lambda header: header["__metadata__"].update(class_names='["0", "1"]'),
        lambda header: header["__metadata__"].pop("name"),
        lambda header: header["labels"].update(shape=[1796]),
        lambda header: header["images"].update(dtype="I8"),
        lambda header: header["images"].update(shape=[1797, 64]),
    ],
)
def test_a_cache_whose_header_is_damaged_is_refused_in_one_line(tmp_path, change):
    path = tmp_path / "a.safetensors"
    prepare("digits", path)
    damaged(path, change)
    with pytest.raises(KakusanError, match=r"a\.safetensors is damaged") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("index", [0, 1000, 1796])
def test_one_changed_bit_of_one_image_is_found_where_images_are_read(tmp_path, index):
    path = tmp_path / "a.safetensors"
    images = prepare("digits", path)
    content = bytearray(path.read_bytes())
    content[len(content) - 64 * (len(images) - index) + 5] ^= 1
    path.write_bytes(content)
    reason = "its bytes are not those that were written"
    with pytest.raises(KakusanError, match=rf"the bytes of 1 image, such as number {index}, are not those"):
        load(path)
    assert check(path, show=False).broken == ((f"image {index}", reason),)
    assert prepare(path, tmp_path / "b.safetensors").skipped == ((f"image {index}", reason),)
    assert check(tmp_path / "b.safetensors", show=False).broken == ()


def test_a_large_cache_is_not_read_to_its_end_before_it_is_used(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    prepare("digits", path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr("kakusan.data.cache._LARGE", 1797 * 64)
    monkeypatch.setattr("kakusan.data.cache._TRIED", 90)
    assert len(load(path)) == 1797
    path.write_bytes(bytes([content[0]]) + content[1 : -1797 * 64] + bytes(1797 * 64))
    with pytest.raises(KakusanError, match="the bytes of 90 images"):
        load(path)


def test_a_cache_without_checksums_is_read(tmp_path):
    prepare("digits", tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        tensors, about = {name: file.get_tensor(name) for name in ("images", "labels")}, file.metadata()
    del about["checksum"]
    save_file(tensors, tmp_path / "old.safetensors", about)
    assert check(tmp_path / "old.safetensors", show=False).count == 1797


@pytest.mark.parametrize("name", ["labels", "captions", "checksums"])
def test_a_changed_label_or_caption_is_found(tmp_path, photos, name):
    """By its checksum: a label may change into another that there is."""
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        path.with_suffix(".txt").write_text(f"picture {number}")
    path = tmp_path / "a.safetensors"
    prepare(photos, path, size=8, channels=3, show=False)
    with safe_open(path, framework="pt") as file:
        tensors, about = {part: file.get_tensor(part) for part in file.keys()}, file.metadata()  # noqa: SIM118
    tensors[name][0] = tensors[name][-1] if name == "labels" else tensors[name][0] ^ 1
    save_file(tensors, path, about)
    with pytest.raises(KakusanError, match="its labels or captions are not those that were written"):
        load(path)


@pytest.mark.parametrize("names", ["5", "null"])
def test_class_names_that_are_none_are_damage(tmp_path, names):
    prepare("digits", tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        tensors, about = {part: file.get_tensor(part) for part in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(tensors, tmp_path / "a.safetensors", {**about, "class_names": names})
    with pytest.raises(KakusanError, match="is damaged or cut short"):
        load(tmp_path / "a.safetensors")


def test_half_an_emoji_in_a_caption_is_no_bug(tmp_path, photos):
    (photos / "metadata.jsonl").write_text(
        "\n".join(
            f'{{"file_name": "{path.relative_to(photos)}", "text": "\\ud83d"}}'
            for path in sorted(photos.rglob("*.png"))
        )
    )
    assert set(prepare(photos, tmp_path / "a.safetensors", size=8, channels=3, show=False).captions) == {"?"}


def test_weights_are_no_images(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(KakusanError, match=r"holds no images that kakusan data prepare wrote"):
        load(tmp_path / "model.safetensors")


def test_colour_after_grey_begins_anew(photos):
    """Nothing that came before is left, and everything comes again with three channels."""
    shapes, images = [], []

    def begin(shape):
        shapes.append(shape)
        images.clear()
        return images.append

    from kakusan.data.sources import open_source

    taken = take(open_source(photos), begin, size=8, channels=None, max_broken=0.1)
    assert shapes == [(1, 8, 8), (3, 8, 8)] or shapes == [(3, 8, 8)]
    assert len(images) == len(taken.kept) == 39
    assert {image.shape for image in images} == {(3, 8, 8)}
