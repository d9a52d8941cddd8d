"""From seeds to images: what is asked for is checked first, and image i is image i whatever is drawn beside it."""

import pytest
import torch

from kakusan import sampling, schedules
from kakusan.condition import Condition
from kakusan.config.models import Sampling
from kakusan.config.names import GRIDS, SAMPLERS
from kakusan.denoiser import Bind, Denoiser
from kakusan.errors import KakusanError
from kakusan.guidance import ClassifierFree, Clip
from kakusan.model import Model
from kakusan.networks import UNet
from kakusan.parametrization import X0, V
from kakusan.seeds import ImageNoise
from tests import tiny
from tests.networks.randomised import randomised
from tests.oracles import SCHEDULES, Gaussian, Recorder

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def draw(model=None, n=4, *, seed=0, labels=None, shape=None, **settings):
    chosen = Sampling(**{"steps": 4, **settings})
    model = tiny.model() if model is None else model
    return sampling.sample(sampling.plan(model, n=n, settings=chosen, seed=seed, labels=labels, shape=shape))


def counted(classes=()):
    """A model whose network counts its calls."""
    network = Recorder(lambda x, clock, *condition: x / 2)
    return Model(Denoiser(network, schedules.cosine(20), V()), (1, 4, 4), classes), network


def test_an_image_has_its_own_noise_whatever_is_drawn_beside_it():
    shape = torch.empty(5, 1, 4, 4)
    together = ImageNoise(3, range(5))
    for _ in range(3):  # the noise of later steps as well
        first = together(shape)
    for index in range(5):
        alone = ImageNoise(3, [index])
        for _ in range(3):
            noise = alone(shape[:1])
        assert torch.equal(noise[0], first[index])
    assert len({tuple(image.flatten().tolist()) for image in first}) == 5


def test_noise_is_standard_normal():
    noise = ImageNoise(0, range(64))(torch.empty(64, 3, 16, 16))
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)


@every_sampler
def test_the_batch_changes_no_picture(sampler):
    """To within rounding, which is far below one of 255 steps; with the same chunks, bit for bit."""
    model = tiny.model(randomised(UNet(1, channels=(8,), classes=3)))
    settings = {"sampler": sampler, "eta": 0.5 if sampler == "ddim" else 0.0}
    whole = draw(model, 7, batch=7, **settings)
    assert torch.equal(draw(model, 7, batch=7, **settings), whole)
    for batch in (1, 2, 5, 64):
        torch.testing.assert_close(draw(model, 7, batch=batch, **settings), whole, rtol=0, atol=1 / 255)
    labels = [0, 1, 2]
    torch.testing.assert_close(draw(model, 3, labels=labels, **settings), whole[:3], rtol=0, atol=1 / 255)


def test_images_differ_among_each_other_and_with_the_seed():
    images = draw(n=4)
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(draw(n=4, seed=1), images)


@every_sampler
@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("threshold", ["none", "clip", "dynamic"])
def test_every_sampler_under_every_guidance_and_threshold(sampler, guidance, threshold):
    images = draw(sampler=sampler, guidance=guidance, threshold=threshold)
    assert images.shape == (4, 1, 4, 4)
    assert images.isfinite().all()
    if threshold != "none":
        assert images.abs().max() <= 1 + 1e-5


def test_guidance_threshold_eta_and_variance_arrive():
    variants = [
        {},
        {"guidance": 3.0},
        {"guidance": 0.0},
        {"threshold": "none"},
        {"threshold": "dynamic"},
        {"eta": 0.5},
        {"sampler": "ddpm"},
        {"sampler": "ddpm", "variance": "beta"},
        {"sampler": "heun"},
        {"grid": "karras"},
        {"grid": "leading"},
    ]
    model = tiny.model(randomised(UNet(1, channels=(8,), classes=3)))
    images = [tuple(draw(model, **settings).flatten().tolist()) for settings in variants]
    assert len(set(images)) == len(variants)
    assert torch.equal(draw(model, eta=1.0), draw(model, sampler="ddpm"))


@every_sampler
@pytest.mark.parametrize("grid", [None, *GRIDS])
@pytest.mark.parametrize("steps", [1, 5, None])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_network_calls_are_counted_right(sampler, grid, steps, guidance):
    model, network = counted(("a", "b"))
    plan = sampling.plan(model, n=3, settings=Sampling(sampler=sampler, steps=steps, grid=grid, guidance=guidance))
    assert not network.calls
    sampling.sample(plan)
    assert len(network.calls) == plan.network_calls
    assert len(network.calls[0][0]) == (6 if guidance == 2 else 3)


@pytest.mark.parametrize(
    ("sampler", "steps", "grid"), [("ddpm", 20, "trailing"), ("ddim", 20, "trailing"), ("heun", 18, "karras")]
)
def test_a_plan_leaves_nothing_open(sampler, steps, grid):
    plan = sampling.plan(tiny.model(), n=1, settings=Sampling(sampler=sampler))
    assert plan.settings.steps == plan.steps == steps
    assert plan.settings.grid == grid


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_walk_starts_from_noise_as_strong_as_its_first_time(schedule):
    network = Recorder(lambda x, clock: x)
    plan = sampling.plan(
        Denoiser(network, schedule, X0()),
        n=64,
        settings=Sampling(steps=2, threshold="none"),
        shape=(3, 8, 8),
    )
    first = next(plan.walk(range(64)))
    c_in = plan.denoiser.parametrization.c_in(*schedule(plan.times[0]))
    start = network.calls[0][0] / c_in.float()
    assert start.std().item() == pytest.approx(schedule(plan.times[0])[1].item(), rel=0.02)
    assert first.index == 0


def test_a_network_is_found_behind_all_that_wraps_it():
    """Its device is where images are drawn, and its dropout is off meanwhile."""
    network = tiny.network(classes=3, dropout=0.5).train()
    denoiser = Denoiser(network, schedules.cosine(20), V())
    wrapped = Clip(ClassifierFree(denoiser, Condition(torch.tensor([0, 1])), 2.0))
    assert torch.equal(draw(wrapped, 2, shape=(1, 4, 4)), draw(wrapped, 2, shape=(1, 4, 4)))
    assert network.dropout.training
    denoiser.to("meta")
    for denoise in (wrapped, Bind(denoiser), denoiser):
        plan = sampling.plan(denoise, n=2, settings=Sampling(), shape=(1, 4, 4))
        assert plan.device.type == "meta"


def test_dropout_is_off_inside_and_back_on_outside():
    network = tiny.network(dropout=0.5).train()
    network.clock.eval()  # a part that its owner had switched already
    model = tiny.model(network)
    before = [module.training for module in network.modules()]
    images = draw(model)
    assert [module.training for module in network.modules()] == before
    assert torch.equal(draw(model), images)


def test_a_walk_leaves_the_network_as_it_was_between_two_steps():
    """Its consumer may train, stop half-way, or walk twice at once."""
    network = tiny.network(dropout=0.5).train()
    plan = sampling.plan(tiny.model(network), n=1, settings=Sampling(steps=3))
    one, other = sampling.walk(plan), sampling.walk(plan)
    for step, same in zip(one, other, strict=True):
        assert all(module.training for module in network.modules())
        assert torch.equal(step.x, same.x)
    assert torch.equal(step.x, sampling.sample(plan))


def test_a_failure_inside_switches_back_as_well():
    class Broken(tiny.TinyNetwork):
        def forward(self, *_):
            raise RuntimeError

    network = Broken().train()
    with pytest.raises(RuntimeError):
        draw(tiny.model(network))
    assert network.training


@every_sampler
def test_a_walk_yields_the_steps_and_ends_in_the_sample(sampler):
    plan = sampling.plan(tiny.model(), n=3, settings=Sampling(sampler=sampler, steps=5))
    steps = list(sampling.walk(plan))
    assert [step.index for step in steps] == list(range(5))
    assert torch.equal(steps[-1].x, sampling.sample(plan))
    assert steps[-1].t == 0


def test_progress_counts_every_step_of_every_chunk():
    seen = []
    plan = sampling.plan(tiny.model(), n=5, settings=Sampling(steps=3, batch=2))
    sampling.sample(plan, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 9) for done in range(1, 10)]


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_labels_go_with_their_images(batch):
    """In the order given, whatever the chunks."""
    model, network = counted(tiny.CLASSES)
    draw(model, 5, labels=["owl", 0, -1, "dog", 2], batch=batch, steps=1)
    assert torch.cat([call[2].labels for call in network.calls]).tolist() == [2, 0, -1, 1, 2]


@pytest.mark.parametrize("labels", [None, [0, 1, 2, 0], torch.tensor([0, 1, 2, 0]), ["cat", "dog", "owl", "cat"]])
def test_labels_are_numbers_a_tensor_or_names_and_by_default_each_class_in_turn(labels):
    assert torch.equal(draw(labels=labels), draw(labels=[0, 1, 2, 0]))


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    "labels", [3.5, [0, 1.0], [True, 0], torch.tensor([[0, 1]]), [None, 0], object(), {0: 1.5, 1.5: 0}]
)
def test_labels_that_are_neither_numbers_nor_names_are_refused(labels, bare):
    model, shape = (tiny.model().denoiser, (1, 4, 4)) if bare else (tiny.model(), None)
    with pytest.raises(
        KakusanError, match=r"labels are whole numbers or names of classes, one an image or one for all"
    ):
        draw(model, 2, labels=labels, shape=shape)


def test_one_image_needs_one_label():
    with pytest.raises(KakusanError, match=r"^1 image needs 1 label, not 2 \(give one label an image, or one for all"):
        draw(n=1, labels=[0, 1])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"n": "4"}, "n must be a whole number, not '4'"),
        ({"n": 2.0}, "n must be a whole number, not 2.0"),
        ({"n": True}, "n must be a whole number, not True"),
        ({"n": 0}, "n must be at least 1 image, not 0"),
        ({"seed": "x"}, "seed must be a whole number, not 'x'"),
        ({"shape": 8}, r"shape must be that of one image, \(C, H, W\), in whole numbers of at least 1, not 8"),
        ({"shape": (1, 0, 4)}, r"shape must be .*, not \(1, 0, 4\)"),
        ({"shape": (1, 4.0, 4)}, r"shape must be .*, not \(1, 4.0, 4\)"),
        ({"shape": ()}, r"shape must be .*, not \(\)"),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_numbers_that_are_none_are_refused(given, sentence, bare):
    model, shape = (tiny.model().denoiser, {"shape": (1, 4, 4)}) if bare else (tiny.model(), {})
    with pytest.raises(KakusanError, match=sentence):
        sampling.plan(model, **{"n": 1, "settings": Sampling(steps=1), **shape, **given})


def test_a_bare_denoiser_says_what_it_makes():
    bare = tiny.model().denoiser
    images = draw(bare, shape=(1, 6, 2), labels=[0, 1, 2, -1])
    assert images.shape == (4, 1, 6, 2)
    assert torch.equal(draw(bare, shape=(1, 4, 4), labels=[0, 1, 2, 0]), draw())
    assert torch.equal(draw(bare, shape=(1, 4, 4)), draw(labels=[-1] * 4))  # no condition is the null class here


def test_anything_with_a_schedule_that_predicts_is_sampled():
    oracle = Gaussian(schedules.cosine())
    images = draw(oracle, 2000, shape=(2,), steps=100, threshold="none", batch=2000)
    torch.testing.assert_close(images.mean(0).double(), oracle.mean, rtol=0, atol=0.08)
    torch.testing.assert_close(images.T.cov().double(), oracle.covariance, rtol=0, atol=0.08)


def test_a_guided_denoiser_is_sampled_like_a_guided_model():
    model = tiny.model()
    guided = ClassifierFree(model.denoiser, Condition(torch.tensor([0, 1])), 2.5)
    assert torch.equal(draw(guided, 2, shape=(1, 4, 4)), draw(model, 2, labels=[0, 1], guidance=2.5))
    bound = Bind(model.denoiser, Condition(torch.tensor([0, 1])))
    assert torch.equal(draw(bound, 2, shape=(1, 4, 4)), draw(model, 2, labels=[0, 1]))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"n": 0}, "n must be at least 1 image, not 0"),
        ({"n": -3}, "n must be at least 1 image, not -3"),
        ({"steps": 21}, "steps must be between 1 and 20 for this chain, not 21"),
        ({"steps": 21, "sampler": "ddpm"}, "steps must be between 1 and 20 for this chain, not 21"),
        ({"steps": 21, "grid": "leading"}, "steps must be between 1 and 20 for this chain, not 21"),
        ({"guidance": 2.0}, "guidance 2 needs a condition to be guided by"),
        ({"guidance": 0.0}, "guidance 0 needs a condition to be guided by"),
        ({"labels": [0, 1, 2, 0]}, "this model has no classes"),
        ({"shape": (1, 8, 8)}, r"draws images of shape \(1, 4, 4\), not \(1, 8, 8\)"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_computed(asked, answer):
    model, network = counted()
    with pytest.raises(KakusanError, match=answer):
        draw(model, **asked)
    assert not network.calls


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, r"give shape=\(C, H, W\)"),
        ({"shape": (1, 4, 4), "guidance": 2.0}, "guidance 2 needs a condition"),
        ({"shape": (1, 4, 4), "labels": [0, 1]}, "4 images need 4 labels, not 2"),
        ({"shape": (1, 4, 4), "labels": [1]}, "4 images need 4 labels, not 1"),
        ({"shape": (1, 4, 4), "labels": ["cat"] * 4}, "does not know the names of its classes: give labels as numbers"),
    ],
)
def test_a_bare_denoiser_refuses_as_well(asked, answer):
    with pytest.raises(KakusanError, match=answer):
        draw(tiny.model().denoiser, **asked)


def test_labels_for_what_has_its_condition_bound_are_refused():
    with pytest.raises(KakusanError, match="anything else has its condition bound already"):
        draw(Bind(tiny.model().denoiser), shape=(1, 4, 4), labels=[0] * 4)


def test_more_steps_than_a_chain_has_need_a_grid_of_log_snr():
    assert draw(steps=30, grid="karras").isfinite().all()
    with pytest.raises(KakusanError, match="leading spacing needs a chain"):
        draw(Denoiser(tiny.network(), schedules.RectifiedFlow(), V()), shape=(1, 4, 4), grid="leading")


def test_settings_replace_what_is_given_and_keep_the_rest():
    own = Sampling(steps=7, guidance=2.0, threshold="none", batch=3)
    assert sampling.settings(own, steps=None, seed=None) == own
    changed = sampling.settings(own, guidance=1.5, steps=9)
    assert changed == own.model_copy(update={"guidance": 1.5, "steps": 9})


def test_another_sampler_does_not_inherit_steps_grid_eta_or_variance():
    own = Sampling(sampler="ddim", steps=7, grid="leading", eta=0.5, guidance=2.0)
    other = sampling.settings(own, sampler="heun")
    assert (other.steps, other.grid, other.eta, other.guidance) == (None, None, 0.0, 2.0)
    assert sampling.settings(own, sampler="heun", steps=3).steps == 3
    assert sampling.settings(Sampling(sampler="ddpm", variance="beta"), sampler="heun").variance == "posterior"
    assert sampling.settings(own, sampler="ddim") == own


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"sampler": "dimm"}, "unknown sampler 'dimm': did you mean 'ddim'"),
        ({"grid": "trail"}, "unknown grid 'trail': did you mean 'trailing'"),
        ({"steps": 0}, "steps"),
        ({"eta": 1.5}, "eta"),
        ({"sampler": "heun", "eta": 0.5}, "heun takes none"),
        ({"threshold": "clamp"}, "threshold"),
        ({"guidance": -1.0}, "guidance"),
    ],
)
def test_settings_out_of_range_are_refused(given, answer):
    with pytest.raises(KakusanError, match=answer):
        sampling.settings(Sampling(), **given)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (torch.tensor([0.0, 1.5]), "whole numbers or names of classes, .* not 0.0"),
        ("two", "labels as numbers"),
        ([1], "2 labels"),
    ],
    ids=["floats", "a name", "too few"],
)
def test_labels_of_a_bare_denoiser_are_whole_numbers_one_an_image(labels, sentence):
    with pytest.raises(KakusanError, match=sentence):
        sampling.plan(tiny.model().denoiser, n=2, settings=Sampling(), labels=labels, shape=(1, 4, 4))


def test_one_label_serves_all_images_of_a_bare_denoiser():
    plan = sampling.plan(tiny.model().denoiser, n=2, settings=Sampling(), labels=1, shape=(1, 4, 4))
    assert plan.condition.labels.tolist() == [1, 1]


def test_samples_that_are_no_numbers_are_refused():
    denoiser = Denoiser(Recorder(lambda x, clock: x * torch.nan), schedules.cosine(10), V())
    plan = sampling.plan(denoiser, n=3, settings=Sampling(steps=2, batch=2), shape=(1, 4, 4))
    with pytest.raises(KakusanError, match="samples 0 to 1 became NaN or infinite"):
        sampling.sample(plan)
    with pytest.raises(KakusanError, match="samples 0 to 1 became NaN or infinite"):
        list(plan.walk(range(2)))
