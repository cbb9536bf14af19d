"""What surrounds a command: the proxy of an office, other users of the machine."""

import stat

import pytest

from storepipe_dagster_tests.end_to_end.commands import Home

NO_PROXY_THERE = "http://127.0.0.1:9"  # the discard port


@pytest.fixture(scope="module")
def home(shop_url, tmp_path_factory):
    """A home that did not exist, made where all that is not local goes by a proxy."""
    proxies = {f"{kind}_proxy": NO_PROXY_THERE for kind in ("http", "https", "grpc", "all")}
    proxies |= {name.upper(): address for name, address in proxies.items()}
    path = tmp_path_factory.mktemp("surroundings") / "home"
    home = Home(path, shop_url, {**proxies, "no_proxy": None, "NO_PROXY": None})
    home.run("2020-01-01", "2020-01-01", "--select", '+key:"trusted/sales"')
    return home


def test_what_is_local_goes_by_no_proxy(home):
    assert home.sql("SELECT count(*) > 0 AS sold FROM trusted.sales") == [{"sold": True}]
    assert home.command("doctor").returncode == 0


def test_what_it_leaves_is_for_its_owner_only(home):
    open_to_others = [
        str(path.relative_to(home.path))
        for path in (home.path, *home.path.rglob("*"))
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    assert open_to_others == []
    assert len([*home.path.rglob("*")]) > 50
