"""Rows of parquet and of the hub, through ``datasets``; and what is said where that is missing."""

import builtins
import io

import numpy as np
import pytest
from PIL import Image

from kakusan.data import load
from kakusan.errors import KakusanError

PIXELS = np.random.default_rng(0).integers(256, size=(6, 5, 4, 3), dtype=np.uint8)


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Returns a function that writes a parquet file, as data sets of images are published; columns can be replaced."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), "text": datasets.Value("string")}
    )
    columns = {"img": [png(pixels) for pixels in PIXELS], "label": [0, 1] * 3, "text": ["a", "b", None, "", "c", "d"]}

    def write(name, **changes):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns | changes, schema=features.arrow_schema), tmp_path / name)
        return tmp_path / name

    return write


def check(images):
    assert np.array_equal(images.images.numpy(), PIXELS.transpose(0, 3, 1, 2))
    assert images.class_names == ("cat", "dog")
    assert images.labels.tolist() == [0, 1] * 3
    assert images.captions == ("a", "b", "", "", "c", "d")


def test_a_parquet_file_is_a_source(write):
    images = load(write("pets.parquet"))
    check(images)
    assert images.name == "pets.parquet"


def test_a_parquet_file_is_read_without_a_word_to_the_hub(write, monkeypatch):
    """Which counts who loads what through load_dataset, even of a file."""
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", None)
    check(load(write("pets.parquet")))


def test_a_data_set_of_the_hub_is_one_and_so_are_its_splits(write, monkeypatch):
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(write("pets.parquet")), split="train")
    asked = []

    def load_dataset(path, **options):
        asked.append((path, options["split"]))
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    check(load("hub:someone/pets"))
    check(load("hub:someone/pets:test"))
    assert asked == [("someone/pets", "train"), ("someone/pets", "test")]


def test_a_broken_row_is_skipped_and_hidden_labels_are_none(write):
    broken = [*(png(pixels) for pixels in PIXELS[:5]), {"bytes": b"no image", "path": None}]
    images = load(write("pets.parquet", img=broken, label=[0, 1, 0, 1, 0, -1]), max_broken=0.2)
    assert images.skipped == (("row 5", "not an image"),)
    assert (images.labels, images.class_names) == (None, ())
    assert images.captions == ("a", "b", "", "", "c")


def test_a_table_without_images_is_refused(write):
    import pyarrow
    from pyarrow import parquet

    path = write("pets.parquet")
    parquet.write_table(pyarrow.table({"label": [0, 1], "text": ["a", "b"]}), path)
    with pytest.raises(KakusanError, match="has no column of images, only label, text"):
        load(path)


def test_a_damaged_file_is_told_in_one_line(write):
    path = write("pets.parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(KakusanError, match=r"pets\.parquet cannot be loaded: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_without_datasets_it_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def no_datasets(name, *args, **kwargs):
        if name == "datasets":
            raise ModuleNotFoundError(name, name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_datasets)
    (tmp_path / "pets.parquet").touch()
    for source in ("hub:someone/pets", tmp_path / "pets.parquet"):
        with pytest.raises(
            KakusanError, match=r"needs datasets, which is not installed \(pip install 'kakusan\[datasets\]'\)"
        ):
            load(source)


def test_parts_of_a_data_set_in_a_folder_are_one(write, tmp_path):
    (tmp_path / "parts").mkdir()
    for part, name in enumerate(("train-00000-of-00002.parquet", "train-00001-of-00002.parquet")):
        rows = slice(3 * part, 3 * part + 3)
        write(name, img=[png(it) for it in PIXELS[rows]], label=[0, 1, 0][:3], text=["a", "b", "c"]).rename(
            tmp_path / "parts" / name
        )
    images = load(tmp_path / "parts")
    assert np.array_equal(images.images.numpy(), PIXELS.transpose(0, 3, 1, 2))
    assert images.name == "parts"


@pytest.mark.parametrize(
    ("label", "names", "labels"),
    [
        ([7, 2, 7, 2, 9, 9], ("2", "7", "9"), [1, 0, 1, 0, 2, 2]),
        (["cat", "dog"] * 3, ("cat", "dog"), [0, 1] * 3),
        ([-1] * 6, (), None),
        ([0, None, 1, 0, 1, 0], (), None),
        ([0.5] * 6, (), None),
    ],
)
def test_labels_may_be_plain_numbers_or_names_and_images_plain_bytes(tmp_path, monkeypatch, label, names, labels):
    datasets = pytest.importorskip("datasets")
    import pyarrow
    from pyarrow import parquet

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    table = pyarrow.table({"jpg": [png(pixels)["bytes"] for pixels in PIXELS], "label": label})
    parquet.write_table(table, tmp_path / "plain.parquet")
    images = load(tmp_path / "plain.parquet")
    assert np.array_equal(images.images.numpy(), PIXELS.transpose(0, 3, 1, 2))
    assert images.class_names == names
    assert (None if images.labels is None else images.labels.tolist()) == labels


def test_of_parts_for_training_and_for_tests_the_first_are_read(write, tmp_path):
    place = tmp_path / "set" / "data"
    place.mkdir(parents=True)
    for name in ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"):
        write(name).rename(place / name)
    images = load(tmp_path / "set")
    assert len(images) == 6
    assert "those for training are read: 1 other left out" in images.notes[0]


def test_bytes_are_images_only_where_no_column_is_of_them(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    columns = {"md5": [b"no image"] * 6, "image": [png(pixels) for pixels in PIXELS]}
    datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image()).to_parquet(tmp_path / "a.parquet")
    assert np.array_equal(load(tmp_path / "a.parquet").images.numpy(), PIXELS.transpose(0, 3, 1, 2))
