"""Models on the Hugging Face hub, by the names that they have there: user/name, or user/name@revision."""

import logging
import re
from pathlib import Path

from fastsr.errors import UserError

MODEL_NAME = "model.safetensors"
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
REMEDY = "pip install 'fastsr[hub]'"


def is_hub_name(text: str) -> bool:
    """True for user/name, which a missing file of a folder may look like too: no suffix of weights is a name's end."""
    return bool(HUB_NAME.fullmatch(text)) and not text.endswith((".safetensors", ".pth", ".pt"))


def model_from_hub(name: str) -> Path:
    """The model's file, downloaded where it is not in the hub's cache.

    Raises UserError where the name is neither a file here nor a model there, or there is no connection.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError:
        raise UserError(
            f"{name} does not exist here; models of the Hugging Face hub need {REMEDY}"
        ) from None
    repository, _, revision = name.partition("@")
    logging.getLogger("huggingface_hub").setLevel(
        logging.ERROR
    )  # it tells each time that it tries again
    try:
        return Path(hf_hub_download(repository, MODEL_NAME, revision=revision or None))
    except RepositoryNotFoundError:
        raise UserError(
            f"{name} does not exist, here or on the Hugging Face hub; for a private model, run `hf auth login`"
        ) from None
    except LocalEntryNotFoundError:
        raise UserError(
            f"{name} does not exist here, and the Hugging Face hub cannot be reached"
        ) from None
    except EntryNotFoundError:
        raise UserError(f"{name} on the Hugging Face hub has no {MODEL_NAME}") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} cannot be fetched from the Hugging Face hub ({reason})") from None
