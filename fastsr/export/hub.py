"""A model published on the Hugging Face hub: its file and its card."""

from pathlib import Path

from fastsr.download.hub import REMEDY, is_hub_name
from fastsr.errors import UserError


def push(folder: Path, name: str, private: bool = False) -> str:
    """Uploads a folder as the model `user/name`, which is made where there is none. Returns its address.

    Raises UserError where huggingface_hub is missing, nobody is logged in, or the hub refuses.
    """
    if not is_hub_name(name) or "@" in name:
        raise UserError(f"{name} is no name on the Hugging Face hub; use user/name")
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalTokenNotFoundError,
        )
    except ImportError:
        raise UserError(f"fastsr push needs {REMEDY}") from None
    api = HfApi()
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Model and card by fastsr"
        )
    except (LocalTokenNotFoundError, HfHubHTTPError) as error:
        code = getattr(getattr(error, "response", None), "status_code", None)
        if code in (401, 403, None):
            raise UserError(
                f"{name} cannot be written: nobody who may is logged in to the Hugging Face hub; run `hf auth login`"
            ) from None
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: the Hugging Face hub refuses ({reason})") from None
    except Exception as error:
        if not (isinstance(error, (HFValidationError, OSError)) or is_of_client(error)):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} cannot be published ({reason})") from None
    return str(repository)


def is_of_client(error: Exception) -> bool:
    """True for an exception of the hub's HTTP client, as where there is no connection: httpx, whose are no OSError."""
    return any(kind.__module__.startswith("httpx") for kind in type(error).__mro__)
