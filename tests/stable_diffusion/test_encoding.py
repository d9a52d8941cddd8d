"""Prompts as a pipeline is told them: as they are where they fit, and otherwise weighed, in parts, of one length."""

import pytest
import torch

pytest.importorskip("compel")

from kakusan.stable_diffusion.encoding import Prompts, parts_of
from tests.pipelines import FAMILIES, pipeline

LONG = "a red circle above a blue square and " * 4


@pytest.fixture(scope="module", params=FAMILIES)
def pipe(request):
    return pipeline(request.param)


def embeddings(pipe, prompt, negative=None, images=(0,)):
    return Prompts(pipe, [prompt] if isinstance(prompt, str) else prompt, negative).of(images)


def read(pipe, prompt):
    return pipe.encode_prompt(prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)


def test_a_prompt_that_fits_is_handed_over_as_it_is(pipe):
    told = Prompts(pipe, ["a red circle", r"a \(blue\) square"], "snow").of(range(3))
    assert told["prompt"] == ["a red circle", "a (blue) square", "a red circle"]
    assert told["negative_prompt"] == ["snow"] * 3
    assert parts_of(pipe, "a red circle") == parts_of(pipe, "") == 1


def test_what_counts_once_is_what_the_pipeline_reads_itself(pipe):
    """Beside a weighted one, in which the last words count 1.3 times, one that is not is read as ever."""
    told = embeddings(pipe, ["a red circle", "a blue (square:1.3)"], images=(0, 1))
    theirs = read(pipe, "a red circle")
    assert torch.equal(told["prompt_embeds"][:1], theirs[0])
    if len(theirs) == 4:
        assert torch.equal(told["pooled_prompt_embeds"][:1], theirs[2])
    assert not torch.allclose(told["prompt_embeds"][1:], read(pipe, "a blue square")[0])


def test_what_counts_more_goes_further_from_nothing_said(pipe):
    """compel moves the encoding of a word along the line from that of nothing."""
    nothing, one = read(pipe, "")[0], read(pipe, "circle")[0]
    for weight in (1.2, 2.0):
        heavy = embeddings(pipe, f"(circle:{weight})")["prompt_embeds"]
        torch.testing.assert_close(heavy[:, 1] - nothing[:, 1], weight * (one - nothing)[:, 1], atol=1e-4, rtol=1e-4)


def test_a_long_prompt_is_read_in_parts_and_all_are_brought_to_its_length(pipe):
    length = pipe.tokenizer.model_max_length
    assert parts_of(pipe, LONG) == 2
    told = embeddings(pipe, ["a red circle", LONG], negative="snow", images=(0, 1))
    parts = told["prompt_embeds"].shape[1] // length
    assert parts >= 2
    assert told["negative_prompt_embeds"].shape == told["prompt_embeds"].shape
    assert torch.equal(told["prompt_embeds"][:1, :length], read(pipe, "a red circle")[0])
    for part in range(1, parts):
        assert torch.equal(told["prompt_embeds"][:1, part * length : (part + 1) * length], read(pipe, "")[0])


def test_an_image_does_not_depend_on_which_are_drawn_beside_it(pipe):
    whole = Prompts(pipe, ["a red circle", LONG], None)
    alone = whole.of([0])["prompt_embeds"]
    assert torch.equal(whole.of([0, 1])["prompt_embeds"][:1], alone)


def test_where_nothing_leads_away_the_pipeline_is_told_what_it_takes_itself(pipe):
    """The encoding of nothing, and zeros, which SDXL puts in its place by itself."""
    told = embeddings(pipe, "(red)")
    if pipe.config.get("force_zeros_for_empty_prompt"):
        assert "negative_prompt_embeds" not in told
    else:
        assert torch.equal(told["negative_prompt_embeds"], read(pipe, "")[0])
