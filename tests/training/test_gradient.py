"""The gradient of a batch is that of its parts; what does not fit is told with what does."""

import inspect

import pytest
import torch

from kakusan.devices import is_out_of_memory
from kakusan.errors import KakusanError
from kakusan.seeds import Draws
from kakusan.training.tasks.denoising import Denoising
from tests import tiny
from tests.tiny import engine, everything, run


@pytest.mark.parametrize("microbatch", [1, 2, 3, 5, 99])
def test_parts_make_the_same_weights_as_the_whole(tmp_path, microbatch):
    """Times, noise, hidden conditions and mirroring belong to the image; dropout alone is drawn by parts."""
    whole, parts = run(tmp_path / "whole"), run(tmp_path / "parts")
    engine(tiny.network()).train(whole)
    engine(tiny.network(), microbatch=microbatch).train(parts)
    (mine, _), (others, _) = everything(whole), everything(parts)
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-3, atol=2e-5)
    for line, other in zip(tiny.metrics(whole), tiny.metrics(parts), strict=True):
        assert line == pytest.approx(other, rel=1e-4)


def narrow(limit):
    """A task for which only so many images at a time fit into memory."""

    class Narrow(Denoising):
        def losses(self, batch, draws):
            if len(batch) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB.")
            return super().losses(batch, draws)

    return Narrow


@pytest.mark.parametrize(("limit", "asked", "fits"), [(4, None, 2), (5, 99, None), (2, 4, 2), (1, None, 1)])
def test_what_does_not_fit_names_what_does(tmp_path, limit, asked, fits):
    there, task = run(tmp_path / "run"), narrow(limit)
    if fits is None:
        engine(task=task, microbatch=asked).train(there)
        return
    tried = min(asked or 5, 5)
    answer = (
        rf"^out of memory on cpu with {tried} images at a time: {fits} fit, .*\(set training\.microbatch to {fits}\)$"
    )
    with pytest.raises(KakusanError, match=answer) as caught:
        engine(task=task, microbatch=asked).train(there)
    assert caught.value.__cause__ is None
    engine(task=task, microbatch=fits).train(there)


def test_where_the_images_of_a_batch_count_together_a_smaller_batch_is_the_mend():
    """A part of it would be brought to deviation 1 by itself."""
    task = narrow(2)
    task.separable = False
    with pytest.raises(KakusanError, match=r"5 images at a time: 2 fit \(let training\.batch_size be 2 a process\)$"):
        engine(task=task).train()


def test_before_the_first_step_what_the_optimizer_will_want_is_kept_free():
    """Two numbers a weight: else a batch that just fits would be refused only after its gradient."""
    held = []

    class Watching(Denoising):
        def losses(self, batch, draws):
            frame = inspect.currentframe()
            while frame and frame.f_code.co_name != "gradient":
                frame = frame.f_back
            held.append(sum(room.numel() for room in frame.f_locals["room"]))
            return super().losses(batch, draws)

    net = tiny.network()
    engine(net, task=Watching, steps=2).train()
    assert held == [2 * sum(weight.numel() for weight in net.parameters()), 0]


def test_where_nothing_fits_it_is_told_too():
    with pytest.raises(
        KakusanError, match=r"with 5 images at a time, and not even with one \(set training\.activation"
    ):
        engine(task=narrow(0)).train()


@pytest.mark.parametrize(
    "words",
    [
        "could not create a primitive",
        "could not create a memory object",
        "std::bad_alloc",
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    ],
)
def test_what_a_cpu_says_where_memory_ends_is_known(words):
    assert is_out_of_memory(RuntimeError(words))


def test_another_error_stays_what_it_is():
    class Broken(Denoising):
        def losses(self, batch, draws):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        engine(task=Broken).train()


def test_a_part_of_the_draws_is_of_the_same_draws():
    draws = Draws(3, 1, 10, slice(4, 10))
    whole = draws.normal("noise", (2,))
    assert torch.equal(draws.part(slice(1, 3)).normal("noise", (2,)), whole[1:3])
    assert torch.equal(draws.part(slice(4, 99)).normal("noise", (2,)), whole[4:])
    assert torch.equal(draws.part(slice(1, 3)).chance("coin", 0.5), draws.chance("coin", 0.5)[1:3])
