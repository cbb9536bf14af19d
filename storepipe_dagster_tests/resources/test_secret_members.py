"""Tests of `storepipe_dagster.resources.secret_members`."""

import json
import random

import pytest

from storepipe_dagster.resources.secret_members import is_secret, without_secrets


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Password", "PASSWORD", "passwords", "passwd", "user_password", "pwd"),
        *("passwordHash", "password_hash", "newPassword", "userpassword", "PassWord", "secret"),
        *("client_secret", "clientSecret", "secrets", "token", "access_token", "accessToken"),
        *("accesstoken", "API_TOKEN", "tokens", "token_type", "passphrase", "credentials"),
        *("login-pwd", "passcode", "paßwd".replace("ß", "ss"), "pass_word", "pass-word"),
        *("apikey", "api_key", "X-API-Key", "private_key", "access.key", "jwt", "otp", "cvv"),
        *("authorization", "mypwd1", "password2", "token_1"),
    ],
)
def test_these_names_are_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "title",
        "email",
        "username",
        "pass",
        "tokenize",
        "secretary",
        "compass",
        "",
        "пароль",
        "author",
        "cotp1x",
    ],
)
def test_these_are_not(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"password": "x"}', "{}"),
        ('{"id": 1, "password": "x"}', '{"id":1}'),
        ('{"password": "x", "id": 1}', '{"id":1}'),
        ('{"a": 1, "pwd": [1, {"b": 2}], "token": null, "c": 3}', '{"a":1,"c":3}'),
        ('{"pwd": {"x": 1}, "secret": "}"}', "{}"),
        ('{"a": {"token": "x"}, "b": [{"pwd": 1}, 2]}', '{"a":{},"b":[{},2]}'),
        ('[{"passwd": "x"}, {"passwd": "y"}]', "[{},{}]"),
        ('{"a": [1, 2], "secret": [], "d": []}', '{"a":[1,2],"d":[]}'),
        (r'{"p\u0061ssword": "x", "a": "\u0061"}', r'{"a":"\u0061"}'),
        (r'{"a": "\"password\": 1", "token": "\\"}', r'{"a":"\"password\": 1"}'),
        ('{"price": 1.10, "n": 1e400, "token": 1}', '{"price":1.10,"n":1e400}'),
        ('{"n": %s, "token": 1}' % ("7" * 5000), '{"n":%s}' % ("7" * 5000)),
    ],
)
def test_only_the_secret_goes_and_the_rest_stays_as_it_was_written(text, kept):
    assert without_secrets(text) == kept


@pytest.mark.parametrize(
    "text",
    ['{"a":  1.10}', '{"name": "token of love", "a": [1]}', r'{"a": "\u00e9"}', "[]", '"token"'],
)
def test_a_text_without_a_secret_is_not_touched(text):
    assert without_secrets(text) is text


def test_nesting_of_any_depth_is_no_problem():
    deep = 100_000
    text = '{"token": 1, "a": ' + "[" * deep + "]" * deep + "}"
    assert without_secrets(text) == '{"a":' + "[" * deep + "]" * deep + "}"


def without(value):
    if isinstance(value, dict):
        return {name: without(part) for name, part in value.items() if not is_secret(name)}
    return [without(part) for part in value] if isinstance(value, list) else value


def test_it_leaves_what_a_parser_would_leave():
    chance = random.Random(7)

    def some(depth):
        kind = chance.randrange(4 if depth else 2)
        if kind == 2:
            return [some(depth - 1) for _ in range(chance.randrange(4))]
        if kind == 3:
            names = ["id", "token", "a b", "pwd", 'q"', "secret"]
            return {name: some(depth - 1) for name in chance.sample(names, chance.randrange(6))}
        return chance.choice([1, None, True, -2.5, "x", '"', "\\", "{", "}, ", "[", "é", "token"])

    for _ in range(2000):
        value = some(4)
        text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
        assert json.loads(without_secrets(text)) == without(value), text
