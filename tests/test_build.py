"""From a configuration to things, and back."""

import pytest
import torch

from kakusan import build, feeding, schedules
from kakusan.codec import Codec
from kakusan.config import from_mapping, to_yaml
from kakusan.config.loading import load
from kakusan.config.models import variants
from kakusan.data.batches import ImageBatches, LoaderBatches
from kakusan.errors import KakusanError
from kakusan.networks import Autoencoder, SimpleUNet, UNet
from kakusan.objective import TimeSampling
from kakusan.parametrization import Epsilon
from kakusan.schedules import Chain
from kakusan.seeds import Draws
from tests import tiny
from tests.oracles import SCHEDULES
from tests.test_parametrization import PARAMETRIZATIONS


def settings(**overrides):
    return from_mapping({"data": {"source": "digits"}}, {name.replace("__", "."): v for name, v in overrides.items()})


OWN_CHAIN = Chain(torch.tensor([1 / 3, 1e-5, 0.7071067811865476], dtype=torch.float64))
WRITTEN = {
    **SCHEDULES,
    "50 steps": schedules.linear(50),
    "1 step": schedules.linear(1),
    "another end": schedules.quadratic(10, 1e-3, 0.5),
    "own betas": OWN_CHAIN,
    "edm, 10": schedules.EDM(10.0),
}


def same(a, b):
    if isinstance(a, Chain):
        return type(b) is Chain and torch.equal(a.betas, b.betas)
    return a == b


@pytest.mark.parametrize("schedule", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_schedule_survives_its_configuration(schedule, tmp_path):
    """Through the text of config.yaml, to the last bit of every β."""
    section = build.schedule_settings(schedule)
    written = from_mapping({"data": {"source": "digits"}, "schedule": section})
    (tmp_path / "config.yaml").write_text(to_yaml(written))
    assert same(build.schedule(load(tmp_path / "config.yaml").schedule), schedule)


@pytest.mark.parametrize("schedule", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_schedule_takes_the_place_of_another_whatever_that_was_set_to(schedule):
    given = {f"schedule.{name}": value for name, value in build.schedule_settings(schedule).items()}
    for other in (
        {"kind": "cosine", "steps": 7, "s": 0.5},
        {"kind": "linear", "steps": 7, "beta_start": 0.3, "beta_end": 0.4},
        {"kind": "edm", "sigma_max": 3.0},
    ):
        changed = from_mapping({"data": {"source": "digits"}, "schedule": other}, given)
        assert same(build.schedule(changed.schedule), schedule)


def test_the_usual_chains_are_written_by_name():
    assert build.schedule_settings(schedules.cosine(30)) == {"kind": "cosine", "steps": 30, "s": 0.008}
    assert build.schedule_settings(schedules.linear(30))["kind"] == "linear"
    assert build.schedule_settings(OWN_CHAIN)["kind"] == "betas"


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS.values(), ids=PARAMETRIZATIONS.keys())
def test_a_parametrization_survives_its_configuration(parametrization):
    section = build.parametrization_settings(parametrization)
    written = from_mapping({"data": {"source": "digits"}, "parametrization": section})
    assert build.parametrization(written.parametrization) == parametrization


@pytest.mark.parametrize(
    ("section", "table"), [("schedule", build._SCHEDULES), ("parametrization", build._PARAMETRIZATIONS)]
)
def test_every_kind_makes_something(section, table):
    assert table.keys() == variants(section).keys()


def test_a_name_is_a_kind():
    assert build.parametrization_settings("edm") == {"kind": "edm"}


def test_a_class_derived_from_ours_is_not_written_as_ours():
    """It would be loaded as ours, and draw along another path than the one it was trained on."""

    class Shifted(schedules.RectifiedFlow):
        def __call__(self, t):
            return super().__call__(3 * t / (1 + 2 * t))

    class Scaled(Epsilon):
        def target(self, x0, epsilon, alpha, sigma):
            return 2 * epsilon

    with pytest.raises(KakusanError, match=r"a schedule of the class Shifted cannot be written"):
        build.schedule_settings(Shifted())
    with pytest.raises(KakusanError, match=r"a parametrization of the class Scaled cannot be written"):
        build.parametrization_settings(Scaled())


def test_a_class_of_ones_own_cannot_be_written():
    class Own(schedules.Schedule):
        def __call__(self, t):
            return 1 - t, t

        def time_at(self, log_snr):
            return log_snr

        def clock(self, t):
            return t

    with pytest.raises(KakusanError, match=r"a schedule of the class Own cannot be written into config\.yaml"):
        build.schedule_settings(Own())
    with pytest.raises(KakusanError, match=r"a parametrization of the class object cannot be written"):
        build.parametrization_settings(object())


def test_times():
    assert build.times(settings().objective) == TimeSampling(stratified=True)
    lognormal = settings(objective__times="lognormal", objective__lognormal_mean=0.5, objective__stratified=False)
    assert build.times(lognormal.objective) == TimeSampling(lognormal=(0.5, 1.2))


def unet(**overrides):
    return settings(
        **{"network__channels": "8,16", "network__blocks": 1, "network__attention_resolutions": "4", **overrides}
    )


def test_every_field_of_a_unet_arrives():
    network = build.model(
        unet(
            network__dropout=0.25, network__scale_shift=True, network__head_channels=8, network__middle_attention=False
        ),
        (3, 8, 8),
        ("a", "b"),
    ).denoiser.network
    assert isinstance(network, UNet)
    assert network.channels == (8, 16)
    assert network.attention_levels == (1,)
    assert (network.in_channels, network.out_channels, network.classes, network.blocks) == (3, 3, 2, 1)
    assert (network.dropout, network.scale_shift, network.head_channels) == (0.25, True, 8)
    assert not network.middle_attention


def test_attention_is_placed_by_the_width_of_the_images():
    wide = build.model(unet(network__attention_resolutions="8"), (1, 8, 16)).denoiser.network
    assert wide.attention_levels == (1,)
    none = build.model(unet(network__attention_resolutions="[]"), (1, 8, 8)).denoiser.network
    assert none.attention_levels == ()
    for width in (6, 28, 64):  # unless they are given, no size of images is refused for them
        lowest = build.model(unet(network__attention_resolutions=None), (1, width, width)).denoiser.network
        assert lowest.attention_levels == (1,)
    with pytest.raises(
        KakusanError,
        match=r"the feature maps, 8, 4 for images 8 pixels wide, not 16 \(use some of these, \[\] for nowhere,",
    ):
        build.model(unet(network__attention_resolutions="16"), (1, 8, 8))


def test_the_chapters_unet():
    simple = settings(network="simple_unet", network__base_channels=8, network__time_emb_dim=16)
    network = build.model(simple, (2, 8, 8)).denoiser.network
    assert isinstance(network, SimpleUNet)
    assert network(torch.zeros(1, 2, 8, 8), torch.zeros(1)).shape == (1, 2, 8, 8)


@pytest.mark.parametrize(("network", "factor"), [("unet", 2), ("simple_unet", 8)])
def test_images_that_do_not_fit_are_refused_saying_which_do(network, factor):
    chosen = unet() if network == "unet" else settings(network="simple_unet")
    with pytest.raises(
        KakusanError, match=rf"a height of 9 does not fit this network: it must be a multiple of {factor}"
    ):
        build.model(chosen, (1, 9, 8))


def test_weights_follow_from_the_seed_and_from_nothing_else():
    def weights(seed):
        return torch.cat([p.flatten() for p in build.model(unet(training__seed=seed), (1, 8, 8)).denoiser.parameters()])

    state = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_a_network_of_ones_own_is_taken_and_cannot_be_guessed():
    own = settings(network="own", network__name="MyNet")
    network = tiny.PlainNetwork()
    assert build.model(own, (1, 8, 8), network=network).denoiser.network is network
    sentence = r"a network of your own, MyNet: hand it over in Python \(model = kakusan\.load\(run, network=MyNet"
    with pytest.raises(KakusanError, match=sentence):
        build.model(own, (1, 8, 8))
    with pytest.raises(KakusanError, match=sentence):  # before its data are looked for, which Python may have given too
        feeding.feed(own, None, None, ())


def test_batches_of_a_set_and_of_a_loader():
    chosen = unet(network__class_conditional=True, data__flip=True)
    feed = feeding.feed(chosen, tiny.pictures(), None, ())
    assert isinstance(feed.batches, ImageBatches)
    assert feed.class_names == tiny.CLASSES
    loader = [(torch.zeros(2, 1, 4, 4), torch.zeros(2))]
    feed = feeding.feed(chosen, loader, None, ["a", "b"])
    assert isinstance(feed.batches, LoaderBatches)
    assert feed.class_names == ("a", "b")


@pytest.mark.parametrize(("values", "said"), [((0.0, 1.0), True), ((-1.0, 1.0), False), ((0, 255), False)])
def test_images_in_the_range_of_totensor_are_remarked_on(values, said):
    dtype = torch.uint8 if values[1] == 255 else torch.float32
    images = torch.tensor(values, dtype=dtype).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    remarks = feeding.feed(unet(), [(images,)], None, ()).remarks
    assert all("Normalize(0.5, 0.5)" in remark for remark in remarks)
    assert bool(remarks) == said


def test_floats_in_the_range_of_bytes_are_remarked_on_with_their_own_mend():
    images = torch.tensor([0.0, 255.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    (remark,) = feeding.feed(unet(), [images], None, ()).remarks
    assert "from 0 to 255, where images should range over [−1, 1] (give values of 0 to 255 as bytes" in remark
    assert "images / 127.5 - 1" in remark


@pytest.mark.parametrize(
    "labels", [torch.tensor([1, 2]), torch.tensor([-2, 0]), torch.tensor([0.9, 0]), torch.zeros(2, 1), None]
)
def test_labels_of_other_classes_are_refused(labels):
    """Label 2 of two classes is the row of the null class, which would be trained in its place."""
    images = torch.zeros(2, 1, 4, 4)
    loader = [(images, torch.tensor([0, -1])), (images,) if labels is None else (images, labels)]
    batches = feeding.feed(unet(network__class_conditional=True), loader, None, ["a", "b"]).batches
    batches(Draws(0, 0, 2), torch.device("cpu"))
    with pytest.raises(KakusanError, match=r"one label an image, from 0 to 1 \(or -1, no class\), not "):
        batches(Draws(0, 1, 2), torch.device("cpu"))
    if labels is not None:  # where nothing is conditioned on them, labels may be what they like
        unconditional = feeding.feed(unet(), loader[1:], None, ["a", "b"]).batches
        unconditional(Draws(0, 0, 4), torch.device("cpu"))


def test_what_is_held_out_makes_no_batch():
    said = feeding.feed(unet(training__batch_size="16", data__held_out="12"), tiny.pictures(20), None, ()).remarks
    assert "a batch of 16 is more than all 8 images" in " ".join(said)


def test_batches_of_the_configured_source():
    feed = feeding.feed(unet(network__class_conditional=True), None, None, ())
    assert feed.batches.epoch == 1797
    assert feed.class_names == tuple("0123456789")
    assert feeding.feed(unet(), None, None, ()).class_names == ()  # nobody asked for classes


@pytest.mark.parametrize(
    ("network", "labelled", "named", "classes"),
    [
        (tiny.TinyNetwork(1, 3), True, (), tiny.CLASSES),
        (tiny.TinyNetwork(1, 3), True, ("a", "b", "c"), ("a", "b", "c")),
        (tiny.TinyNetwork(1, 3), False, (), ()),
        (tiny.PlainNetwork(), True, (), ()),
    ],
)
def test_ones_own_network_gets_classes_where_it_takes_and_the_data_have_them(network, labelled, named, classes):
    own = settings(network="own", network__name="MyNet")
    assert feeding.feed(own, tiny.pictures(labelled=labelled), network, named).class_names == classes


@pytest.mark.parametrize(
    ("data", "lack"),
    [
        (tiny.pictures(labelled=False), "has no labels"),
        ([torch.zeros(2, 1, 4, 4)], "has no labels"),
        ([(torch.zeros(2, 1, 4, 4), torch.zeros(2))], "does not name its classes"),
    ],
)
def test_conditions_without_labels_are_refused(data, lack):
    with pytest.raises(KakusanError, match=f"needs labelled data, and digits {lack}"):
        feeding.feed(unet(network__class_conditional=True), data, None, ())


@pytest.mark.parametrize(
    ("data", "class_names", "mend"),
    [
        (tiny.pictures(labelled=False), ("a",), "put each class into a folder of its own"),
        ([torch.zeros(2, 1, 4, 4)], ("a",), r"let it yield \(images, labels\)"),
        ([(torch.zeros(2, 1, 4, 4), torch.zeros(2))], (), r'give class_names=\["cat", "dog", …\]'),
    ],
)
def test_ones_own_network_is_offered_what_it_can_have(data, class_names, mend):
    own = settings(network="own", network__name="MyNet")
    with pytest.raises(KakusanError, match=rf"\({mend}, or a network that takes \(x, clock\) and no more\)$"):
        feeding.feed(own, data, tiny.TinyNetwork(1, 3), class_names)


class _Scaled(tiny.PlainNetwork):
    def forward(self, x, clock, scale=1.0):
        return scale * super().forward(x, clock)


def test_a_third_argument_with_a_value_of_its_own_is_no_condition():
    own = settings(network="own", network__name="Scaled")
    assert feeding.feed(own, tiny.pictures(labelled=True), _Scaled(), ()).class_names == ()


class _Timeless(tiny.PlainNetwork):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("network", "class_names", "sentence"),
    [
        (_Timeless(), (), r"_Timeless is called as network\(x, clock\), and its forward takes \(x\)"),
        (tiny.PlainNetwork(), ("a", "b"), r"called as network\(x, clock, condition\) \(the class names ask for a cond"),
        (tiny.PlainNetwork, (), r"made already, not the class PlainNetwork \(network=MyNetwork\(\)\)"),
    ],
)
def test_a_network_that_cannot_be_called_is_refused_before_training(network, class_names, sentence):
    with pytest.raises(KakusanError, match=sentence):
        build.model(settings(network="own", network__name="X"), (1, 4, 4), class_names, network)


def test_what_is_no_data_is_refused():
    with pytest.raises(KakusanError, match="data must be a source, an ImageSet or a data loader, not int"):
        feeding.feed(unet(), 3, None, ())


@pytest.mark.parametrize("conditional", [False, True])
def test_classes_that_are_not_used_are_spoken_of(conditional):
    settings = unet(network__class_conditional=conditional, data__source="digits")
    feed = feeding.feed(settings, None, None, ())
    assert bool(feed.class_names) == conditional
    assert all("the 10 classes of the images are not used" in remark for remark in feed.remarks)
    assert bool(feed.remarks) != conditional


@pytest.mark.parametrize(
    ("preset", "classes", "parameters"),
    [
        ("cifar10", 0, 35_746_307),
        ("cifar10-conditional", 10, 35_746_307 + 11 * 512),
        ("cifar10-small", 10, 2_857_219),
        ("chapter-cifar10", 0, 15_896_323),
    ],
)
def test_a_preset_of_cifar10_has_as_many_parameters_as_its_recipe(preset, classes, parameters):
    model = build.model(load(preset), (3, 32, 32), tuple(map(str, range(classes))))
    assert sum(weight.numel() for weight in model.denoiser.parameters()) == parameters


@pytest.mark.parametrize("preset", ["cifar10", "cifar10-conditional"])
def test_the_average_of_the_ddpm_recipe_forgets_as_theirs(preset):
    """0.9999 a step of 128 images."""
    settings = load(preset)
    assert 0.5 ** (settings.training.batch_size / settings.ema.half_life) == pytest.approx(0.9999, abs=1e-7)
    assert settings.optimizer.warmup_images == 5_000 * settings.training.batch_size


def test_in_latents_attention_keeps_its_level():
    """A preset for pixels names widths of maps that latents do not have; those that they have are meant as they are."""
    codec = Codec(Autoencoder(1, channels=(8, 8, 8), middle_attention=False), (1, 32, 32))
    for resolutions, levels in (("16", (1,)), ("8", (0,)), ("32,16", (0, 1)), ("4", (1,))):
        settings = unet(network__channels="8,16", network__attention_resolutions=resolutions)
        assert build.model(settings, (1, 32, 32), codec=codec).denoiser.network.attention_levels == levels
    with pytest.raises(KakusanError, match="8, 4 for latents 8 wide, or 32, 16 as for their pictures, not 12"):
        build.model(unet(network__attention_resolutions="12"), (1, 32, 32), codec=codec)
