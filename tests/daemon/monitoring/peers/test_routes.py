"""The route of the other daemons: nothing where none is named, and as free to read as the status."""

from pathlib import Path

import pytest

from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.peers.answers import Peers
from papertape.engine.errors import ConfigError
from papertape.replay.config import make_config
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, no_status


@pytest.mark.asyncio
async def test_without_others_the_list_is_empty(tmp_path: Path) -> None:
    async with serving(Api(account(tmp_path), no_status)) as http, http.get("/api/v1/peers") as answer:
        assert answer.status == 200
        assert Peers.model_validate_json(await answer.read()).peers == ()


@pytest.mark.parametrize(
    "peers",
    [
        {"a": "127.0.0.1:9464"},
        {"a": "ftp://127.0.0.1"},
        {"a": "http://user:secret@host"},
        {"a": "http://host/path"},
        {"a": "http://host?token=x"},
        {"a": "http://host:99999"},
        {"a b": "http://host"},
        {"": "http://host"},
        {f"n{number}": "http://host" for number in range(17)},
    ],
)
def test_an_address_is_scheme_host_and_port(peers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"daemon\.peers"):
        make_config({"daemon": {"peers": peers}})


def test_addresses_of_daemons_are_taken() -> None:
    peers = {"desk-1": "http://127.0.0.1:9465", "b": "https://papertape.example", "c": "http://[::1]:9464"}

    assert make_config({"daemon": {"peers": peers}}).daemon.peers == peers
