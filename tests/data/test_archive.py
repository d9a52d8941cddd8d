"""Archives are read where they lie; what leads out of one is refused, and what is cut short is told in one line."""

import gzip
import io
import json
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from kakusan.data import load
from kakusan.data.trees import Archive
from kakusan.errors import KakusanError

SUFFIXES = ("zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")


def png(value=0, mode="L"):
    content = io.BytesIO()
    Image.new(mode, (4, 4), value).save(content, "PNG")
    return content.getvalue()


def pack(path, files, links=()):
    """Writes an archive of ``files``, name → content, and ``links``, name → target."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in dict(files).items():
                archive.writestr(name, content)
            for name, target in dict(links).items():
                link = zipfile.ZipInfo(name)
                link.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(link, target)
        return path
    packing = {"gz": "gz", "tgz": "gz", "bz2": "bz2", "xz": "xz"}.get(path.name.rpartition(".")[2], "")
    with tarfile.open(path, f"w:{packing}") as archive:
        for name, content in dict(files).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in dict(links).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_is_what_the_folder_is_that_was_packed(tmp_path, suffix):
    files = {f"photos/{name}": png(value) for value, name in enumerate(("dog/10.png", "dog/2.png", "cat/ü, 1.png"))}
    files |= {"__MACOSX/dog/._2.png": b"", "photos/.hidden.png": b"", "photos/cat/ü, 1.txt": b"a cat"}
    images = load(pack(tmp_path / f"photos.{suffix}", files))
    assert images.class_names == ("cat", "dog")
    assert images.images[:, 0, 0, 0].tolist() == [2, 1, 0]
    assert images.labels.tolist() == [0, 1, 1]
    assert images.captions == ("a cat", "", "")
    for name, content in files.items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    same = load(tmp_path / "unpacked" / "photos")
    assert (same.images == images.images).all()
    assert (same.class_names, same.captions) == (images.class_names, images.captions)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_folder_in_an_archive_is_a_source(tmp_path, suffix):
    files = {"set/train/cat/1.png": png(1), "set/test/cat/2.png": png(2), "set/train/dog/3.png": png(3)}
    path = pack(tmp_path / f"set.{suffix}", files)
    assert load(path).class_names == ("test", "train")
    images = load(path / "set" / "train")
    assert images.class_names == ("cat", "dog")
    assert images.images[:, 0, 0, 0].tolist() == [1, 3]
    with pytest.raises(KakusanError, match=r"holds no folder set/val \(its first file is set/"):
        load(path / "set" / "val")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_names_that_lead_out_are_refused(tmp_path, suffix, name):
    with pytest.raises(KakusanError, match="which leads out of it: refused"):
        load(pack(tmp_path / f"a.{suffix}", {"good.png": png(), name: png()}))
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{suffix}"]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd"])
def test_links_that_lead_out_are_refused(tmp_path, suffix, target):
    with pytest.raises(KakusanError, match=rf"the link 'cat/a\.png' to '{target}', which leads out of it"):
        load(pack(tmp_path / f"a.{suffix}", {"cat/b.png": png()}, {"cat/a.png": target}))


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_links_within_lead_to_their_images(tmp_path, suffix):
    links = {"dog/a.png": "c.png", "dog/c.png": "../cat/b.png", "dog/loop.png": "loop.png", "dog/dead.png": "gone.png"}
    images = load(pack(tmp_path / f"a.{suffix}", {"cat/b.png": png(7)}, links))
    assert images.class_names == ("cat", "dog")
    assert images.images[:, 0, 0, 0].tolist() == [7, 7, 7]


def test_a_hard_link_is_the_file_that_it_names(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        (tmp_path / "1.png").write_bytes(png(7))
        archive.add(tmp_path / "1.png", "1.png")
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = tarfile.LNKTYPE, "1.png"
        archive.addfile(link)
    assert load(tmp_path / "a.tar").images[:, 0, 0, 0].tolist() == [7, 7]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_an_archive_that_is_cut_short_is_told_in_one_line(tmp_path, suffix, share):
    path = pack(tmp_path / f"a.{suffix}", {f"{index}.png": png(index) for index in range(200)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(KakusanError, match=r"cannot be read, it may be cut short: .* \(get it anew\)") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_damaged_name_does_not_hide_what_comes_after_it(tmp_path, suffix):
    whole = pack(tmp_path / "whole.tar", {f"{index}.png": png(index) for index in range(20)})
    content = bytearray(whole.read_bytes())
    content[1024 * 10 + 148] ^= 255
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == "tar.gz" else content)
    with pytest.raises(KakusanError, match="its end is missing"):
        load(path)


def test_a_tar_that_holds_a_zip_is_a_tar(tmp_path):
    inner = pack(tmp_path / "inner.zip", {"a.png": png()}).read_bytes()
    assert len(load(pack(tmp_path / "a.tar", {"b.png": png(1), "c.png": png(2), "z.zip": inner}))) == 2


def test_a_broken_image_in_an_archive_is_skipped_and_listed(tmp_path):
    files = {f"{index}.png": png(index) for index in range(1, 30)} | {"0.png": b"no image"}
    images = load(pack(tmp_path / "a.zip", files))
    assert images.images[:, 0, 0, 0].tolist() == list(range(1, 30))
    assert images.skipped == (("0.png", "not an image"),)


def test_an_entry_that_was_damaged_is_skipped(tmp_path):
    path = pack(tmp_path / "a.zip", {f"{index}.png": png(index) for index in range(30)})
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    (skipped,) = load(path).skipped
    assert skipped[0] == "0.png"
    assert "CRC" in skipped[1]


@pytest.mark.parametrize("name", ["1.txt", "metadata.jsonl"])
def test_captions_that_were_damaged_are_told_in_one_line(tmp_path, name):
    caption = json.dumps({"file_name": "1.png", "text": "a very quiet cat"}).encode()
    path = pack(tmp_path / "a.zip", {"1.png": png(), name: caption})
    content = bytearray(path.read_bytes())
    content[content.index(b"quiet")] ^= 255
    path.write_bytes(content)
    with pytest.raises(
        KakusanError, match=rf"{name} cannot be read, it may be cut short: Bad CRC-32 .*\(get it anew\)"
    ):
        load(path)


def test_an_archive_of_archives_says_so(tmp_path):
    inner = pack(tmp_path / "inner.zip", {"a.png": png()}).read_bytes()
    with pytest.raises(KakusanError, match=r"holds no image .* archives such as inner\.zip: unpack it"):
        load(pack(tmp_path / "outer.zip", {"inner.zip": inner}))


def test_what_is_too_large_for_an_image_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("kakusan.data.trees.archive._LARGEST", 1000)
    path = pack(tmp_path / "a.tar", {**{f"{index}.png": png() for index in range(30)}, "z.png": bytes(1001)})
    assert load(path).skipped[0][0] == "z.png"


def test_a_packed_tar_larger_than_what_is_kept_in_memory_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("kakusan.data.trees.archive._IN_MEMORY", 1)
    path = pack(tmp_path / "a.tar.gz", {f"{index}.png": png(index) for index in range(30)})
    assert load(path).images[:, 0, 0, 0].tolist() == list(range(30))


def test_an_archive_reads_from_any_thread(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    files = {f"{index}.png": bytes([index]) * 1000 for index in range(200)}
    for suffix in ("zip", "tar", "tar.xz"):
        archive = Archive(Path(pack(tmp_path / f"a.{suffix}", files)))
        with ThreadPoolExecutor(8) as pool:
            assert dict(zip(archive.names, pool.map(archive.read, archive.names), strict=True)) == files


def test_metadata_of_no_file_that_is_there_is_told(tmp_path):
    lines = "".join(json.dumps({"file_name": f"{i}.png", "text": "a cat"}) + "\n" for i in (1, 2, 30))
    path = pack(tmp_path / "a.zip", {"1.png": png(), "2.png": png(1), "metadata.jsonl": lines.encode()})
    with pytest.raises(KakusanError, match=r"names 30\.png, and there is no such file \(mend or remove this line\)"):
        load(path)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"metadata.jsonl": b'{"file_name": "1.png", "text": 7}'}, r"metadata\.jsonl:1: not a line such as"),
        (
            {"metadata.jsonl": b'{"file_name": "1.png", "text": "a"}\n{"file_name": "1.png", "text": "b"}'},
            r"metadata\.jsonl:2: another caption of 1\.png than a line before",
        ),
        ({"1.txt": "ein K\u00e4tzchen".encode("latin1")}, r"1\.txt is no caption: byte 5 is not UTF-8 text"),
    ],
)
def test_captions_that_are_none_are_told(tmp_path, files, sentence):
    with pytest.raises(KakusanError, match=sentence):
        load(pack(tmp_path / "a.zip", {"1.png": png(), **files}))


def test_a_mark_of_byte_order_is_no_part_of_a_caption(tmp_path):
    assert load(pack(tmp_path / "a.zip", {"1.png": png(), "1.txt": "\ufeffa cat".encode()})).captions == ("a cat",)


def test_a_zip_with_a_damaged_name_is_told_of(tmp_path):
    """Marked as UTF-8, which it is no more."""
    path = pack(tmp_path / "a.zip", {"ü.png": png()})
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xff\xfe"))
    with pytest.raises(KakusanError, match=r"a\.zip cannot be read"):
        load(path)
