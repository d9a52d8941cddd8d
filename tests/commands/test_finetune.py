"""``kakusan finetune``: what it says, what it leaves behind, and what it refuses before anything is written."""

import json

import pytest

from kakusan.interop.loading import quietly
from kakusan.runs import Run
from tests.commands.conftest import files
from tests.customising.scenes import diamonds

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.pipelines import saved

SHORT = ("--steps=2", "--run=mine", "--training.batch_size=2", "--objective.shown_steps=2", "--device=cpu")
ASKED = "--instance-prompt=a red rhombus"


@pytest.fixture
def source(tmp_path):
    diamonds(tmp_path / "pictures")
    return "--data.source=pictures"


@pytest.fixture
def tiny(tmp_path):
    saved("sd15", tmp_path / "tiny")
    return "--model=tiny"


def test_a_lora_is_there_in_both_layouts_and_the_end_says_how_to_draw_with_it(kakusan, source):
    answer = kakusan("finetune", "lora", source, ASKED, "--rank=2", *SHORT)
    assert answer.status == 0, answer.err
    assert "trains " in answer.err
    assert "kakusan generate PROMPT --model mini --lora mine" in answer.out
    log = Run.open("mine").path.joinpath("log.txt").read_text()
    for name in ("pytorch_lora_weights.safetensors", "lora-kohya.safetensors"):
        assert f"mine/{name}: plain diffusers draws with it what was trained" in log
        assert name in files("mine")
    assert files("mine/samples") == ["0000004.png"]


def test_dreambooth_draws_its_kind_and_leaves_a_pipeline(kakusan, source, tiny):
    kind = ("--class-prompt=a red star", "--objective.prior_images=2")
    answer = kakusan("finetune", "dreambooth", source, tiny, ASKED, *kind, *SHORT, "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["images"] == 4
    assert {"pipeline", "prior.safetensors"} <= set(files("mine"))
    answer = kakusan("generate", "a red rhombus", "--model=mine/pipeline", "--n=1", "--steps=2", "-o=drawn")
    assert answer.status == 0, answer.err


def test_a_new_word_is_learned_and_a_run_goes_on(kakusan, source, tiny):
    answer = kakusan("finetune", "textual-inversion", source, tiny, "--token=<sks>", *SHORT)
    assert answer.status == 0, answer.err
    assert "--model tiny --embedding mine" in answer.out.replace(str(Run.open("mine").path.resolve().parent) + "/", "")
    before = Run.open("mine").path.joinpath("learned_embeds.safetensors").read_bytes()
    assert kakusan("finetune", "--resume=mine", "--steps=3").status == 0
    assert Run.open("mine").checkpoint().images == 6
    assert Run.open("mine").path.joinpath("learned_embeds.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "say what shall learn: lora, dreambooth or textual-inversion"),
        ("lara", "unknown method 'lara': did you mean 'lora'?"),
        ("lora", "say where the images are that it learns from (--data.source DIR)"),
        ("lora --data.source=pictures", "nobody says what 3 images of pictures show: 0.png, 1.png, 2.png"),
        ("lora --data.source=pictures --token=<sks>", "unknown field of lora network 'token'"),
        ("lora --data.source=pictures --instance-prompt=it --rank=0", "network.rank must be"),
        ("lora --data.source=pictures --instance-prompt=it --rank=97", "network.rank must be at most 96, the width of"),
        ("lora --data.source=empty --instance-prompt=it", "empty holds no image (looked for"),
        ("lora --data.source=nowhere --instance-prompt=it", "nowhere"),
        (
            "lora --data.source=broken --instance-prompt=it",
            "1 of 4 images in broken cannot be read, where 5% may be: b.png",
        ),
        ("lora --data.source=pictures --instance-prompt=it --model=nowhere", "there is no model nowhere"),
        ("lora --data.source=pictures --instance-prompt=it --model=pictures", "pictures is no pipeline of diffusers"),
        ("lora --data.source=pictures --instance-prompt=it --model=pictures/0.png", "0.png is a file, and no"),
        ("lora --data.source=pictures --instance-prompt=it --data.size=20", "data.size must be a multiple of 8 pixels"),
        ("dreambooth --data.source=pictures --instance-prompt=it --rank=4", "unknown field of whole network 'rank'"),
        ("textual-inversion --data.source=pictures --token=circle</w>", "network.token: 'circle</w>' is a word of"),
        ("textual-inversion --data.source=pictures --instance-prompt=it", "does not use the word '<new>' that is lea"),
        ("textual-inversion --data.source=pictures --class-prompt=it", "a new word changes none"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_before_anything_is_written(kakusan, tmp_path, arguments, sentence):
    diamonds(tmp_path / "pictures")
    (diamonds(tmp_path / "broken") / "b.png").write_text("I am no picture")
    (tmp_path / "empty").mkdir()
    before = files(tmp_path)
    given = arguments.split()
    assert sentence in kakusan("finetune", *given, *(SHORT if given else ["--run=mine"])).check_refused()
    assert files(tmp_path) == before


def test_a_pipeline_that_is_told_more_than_prompts_is_refused(kakusan, source, tmp_path):
    with quietly():
        saved("sd15", tmp_path / "tiny", in_channels=9)
    sentence = kakusan("finetune", "lora", source, ASKED, "--model=tiny", *SHORT).check_refused()
    assert "takes 9 channels, and its latents have 4" in sentence
    assert "mine" not in files(tmp_path)


def test_the_configuration_is_shown_without_images(kakusan):
    answer = kakusan("finetune", "lora", "--print-config", "--rank=7")
    assert answer.status == 0
    assert "rank: 7" in answer.out


def test_each_method_names_its_fields(kakusan):
    assert "network.vectors" in kakusan("finetune", "textual-inversion", "--help").out
    assert "objective.prior_weight" in kakusan("finetune", "dreambooth", "--help").out
