"""Presets, files, and what is typed over them; whatever is wrong is one line that names the place."""

import pytest

from kakusan.config import from_mapping, load, section, to_yaml
from kakusan.config.models import SECTIONS, Sampling
from kakusan.config.names import presets
from kakusan.config.wording import either
from kakusan.errors import KakusanError


@pytest.fixture
def file(tmp_path):
    """Writes a YAML file and returns its path."""

    def write(text):
        path = tmp_path / "my.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


def refusal(*arguments):
    """Returns the one line with which ``load`` refuses its arguments."""
    with pytest.raises(KakusanError) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads_alike_by_name_and_from_a_file(name, file):
    config = load(name)
    assert load(file(to_yaml(config))) == load(str(file(to_yaml(config)))) == config


def test_the_digits_are_learnt_by_class_on_a_chain_of_1000_steps():
    config = load("digits")
    assert (config.data.source, config.network.kind, config.network.class_conditional) == ("digits", "unet", True)
    assert config.schedule.steps == 1000


def test_scalars_are_read_by_yaml_1_2(file):
    """YAML 1.1 would make text of 1e-4, a boolean of no, a date, an octal number and a time of day of the others."""
    assert load(file("data: {source: x}\noptimizer: {learning_rate: 1e-4}")).optimizer.learning_rate == 1e-4
    assert load(file("data: {source: x}\ntraining: {images: 2e6}")).training.images == 2_000_000
    assert load(file("data: {source: x}\ntraining: {images: 2_000}")).training.images == 2_000
    for text in ("no", "2024-01-01", "010", "12:30", "1e", "-"):
        assert load(file(f"data: {{source: {text}}}")).data.source == text


def test_an_empty_section_is_its_defaults(file):
    assert load(file("data: {source: x}\ntraining:\nschedule:")) == from_mapping({"data": {"source": "x"}})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optimizer.learning_rate", "1e-4", 1e-4),
        ("optimizer.betas", "0.5,0.75", (0.5, 0.75)),
        ("optimizer.clip_norm", "none", None),
        ("optimizer.clip_norm", "null", None),
        ("optimizer.decay", "none", "none"),
        ("sampling.threshold", "none", "none"),
        ("sampling.grid", "karras", "karras"),
        ("network.channels", "32,64", (32, 64)),
        ("network.channels", "[16, 32]", (16, 32)),
        ("network.channels", "32", (32,)),
        ("network.attention_resolutions", "", ()),
        ("network.attention_resolutions", "8,16", (8, 16)),
        ("network.attention_resolutions", "none", None),
        ("network.middle_attention", "true", True),
        ("data.source", "2024", "2024"),
        ("data.source", "null", "null"),
        ("training.seed", "-7", -7),
        ("training.seed", 7, 7),
    ],
)
def test_a_typed_value_becomes_what_its_field_holds(key, text, value):
    section, name = key.split(".")
    assert getattr(getattr(load("digits", {key: text}), section), name) == value
    assert load("digits", [(key, text)]) == load("digits", {key: text})


def test_the_last_of_two_typed_values_holds():
    assert load("digits", [("training.seed", "1"), ("training.seed", "2")]).training.seed == 2


def test_a_typed_field_leaves_all_others_as_they_were():
    digits, typed = load("digits").model_dump(), load("digits", {"network.blocks": "3"}).model_dump()
    assert digits["network"].pop("blocks") != typed["network"].pop("blocks") == 3
    assert digits == typed


@pytest.mark.parametrize("key", ["schedule", "schedule.kind"])
def test_another_kind_keeps_the_fields_it_shares_and_drops_the_rest(key, file):
    path = file("data: {source: x}\nschedule: {kind: cosine, steps: 50, s: 0.1}")
    linear = load(path, {key: "linear"}).schedule
    assert (linear.kind, linear.steps, linear.beta_end) == ("linear", 50, 0.02)
    assert load(path, {key: "edm", "schedule.sigma_max": "5"}).schedule.sigma_max == 5


def test_another_kind_hides_no_misspelling(file):
    path = file("data: {source: x}\nschedule: {kind: cosine, stps: 50}")
    assert refusal(path, {"schedule": "linear"}).startswith(f"{path}:2: unknown field of linear schedule 'stps'")


def test_a_typed_field_that_the_typed_kind_does_not_have_is_refused():
    assert refusal("digits", {"schedule": "edm", "schedule.steps": "5"}).startswith(
        "unknown field of edm schedule 'steps'"
    )


def test_one_typed_length_of_training_replaces_the_other():
    training = load("digits", {"training.epochs": "2"}).training
    assert (training.steps, training.images, training.epochs) == (None, None, 2)
    assert refusal("digits", {"training.epochs": "2", "training.steps": "3"}).startswith("training takes one of")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"network.chanels": "3"}, "unknown field of unet network 'chanels': did you mean 'channels'?"),
        ({"trainin.seed": "3"}, "unknown section 'trainin': did you mean 'training'?"),
        ({"training": "3"}, "training has no kinds: name one of its fields, such as training."),
        ({"network.channels": "[32"}, "--network.channels: this is no valid YAML: "),
        ({"network.channels": "32,a"}, "network.channels must be a list of one or more whole numbers"),
        ({"schedule.steps": ""}, "schedule.steps must be a whole number of at least 1, not None"),
        ({"schedule.kind": [1]}, "unknown kind of schedule '[1]'"),
    ],
)
def test_a_mistake_in_what_is_typed_names_the_field_and_no_file(overrides, sentence):
    assert refusal("digits", overrides).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("data:\n  source: x\nnetwork:\n  blocks: 2\n  chanels: [3]", 5, "unknown field of unet network 'chanels'"),
        ("data: {source: x}\n\nschedule: cosin", 3, "unknown kind of schedule 'cosin': did you mean 'cosine'?"),
        ("data: {source: x}\nschedule:\n  kind: cosin", 3, "unknown kind of schedule 'cosin'"),
        ("data: {source: x}\ntraining:\n  seed: 1\n  keep: 0", 4, "training.keep must be a whole number of at least 1"),
        ("data: {source: x}\ntraining:\n  seed: 1\n  seed: 2", 4, "training.seed stands here and at "),
        ("data: {source: x}\ndata: {source: y}", 2, "data stands here and at "),
        ("# nothing\ndata:\n", 2, "data.source is missing"),
        ("data: {source: x}\n1: x", 2, "a name is text, not '1'"),
        ("data: {source: x}\n? [a]\n: x", 2, "this is no valid YAML: found unhashable key"),
        ("data: {source: x}\n a: [", 2, "this is no valid YAML: "),
        (
            "data: {source: x}\nx: !!python/name:os.system",
            2,
            "this is no valid YAML: could not determine a constructor",
        ),
    ],
)
def test_a_mistake_in_a_file_names_file_and_line(text, line, sentence, file):
    path = file(text)
    assert refusal(path).startswith(f"{path}:{line}: {sentence}")


@pytest.mark.parametrize("text", ["", "# nothing\n", "digits", "[1, 2]"])
def test_a_file_that_is_no_mapping_is_refused(text, file):
    path = file(text)
    assert refusal(path).startswith(f"{path}: a configuration is a mapping of sections")


@pytest.mark.parametrize("text", ["data: \0", "[" * 4000, f"training: {{seed: {'9' * 5000}}}"])
def test_a_file_that_is_hardly_yaml_is_refused(text, file):
    path = file(text)
    assert refusal(path).startswith(f"{path}: this is no valid YAML: ")


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_validated_by_itself_as_it_is_in_the_whole(name):
    whole = load("digits")
    own = getattr(whole, name)
    assert section(name, own.model_dump()) == own
    with pytest.raises(KakusanError) as whole_says:
        from_mapping(whole.model_dump() | {name: {**own.model_dump(), "stesp": 3}})
    with pytest.raises(KakusanError) as section_says:
        section(name, {**own.model_dump(), "stesp": 3})
    assert str(section_says.value) == str(whole_says.value)


def test_what_a_section_leaves_out_has_its_default():
    assert section("sampling", {}) == Sampling()
    assert section("schedule", "linear").steps == 1000
    with pytest.raises(KakusanError, match=r"^data\.source is missing"):
        section("data", {})


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_bytes(b"data: \xff")
    assert refusal(path).startswith(f"{path} is no YAML file: byte 6 is not UTF-8 text (give a preset or a YAML file")


def test_a_source_that_is_not_there_is_refused(tmp_path):
    assert refusal("digit") == (
        f"unknown preset 'digit': did you mean 'digits'? known are {', '.join(presets())}, or the path of a YAML file"
    )
    there_is_none = refusal(tmp_path / "none.yaml")
    assert there_is_none == (
        f"{tmp_path / 'none.yaml'} cannot be read: No such file or directory "
        f"(give a YAML file, or a preset: {either(presets())})"
    )
    assert refusal(str(tmp_path)).startswith(f"{tmp_path} is a folder: give a preset or a YAML file")
