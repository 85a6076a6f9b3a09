"""The definition of a user's feature as a digest, by which snapshots of another version of it are refused."""

from collections.abc import Mapping, Sequence

from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.requests import split_request
from papertape.engine.user_code.definition import digest_of


def definition_of(feature: OwnFeature) -> str:
    """Return the digest of a feature's definition."""
    return digest_of(type(feature).__name__, *feature.parts)


def definitions_of(requests: Sequence[str], own: Mapping[str, OwnFeature]) -> dict[str, str]:
    """Return the digests of those features of somebody's own that are among requests, by name."""
    names = sorted({split_request(request).name for request in requests} & own.keys())
    return {name: definition_of(own[name]) for name in names}
