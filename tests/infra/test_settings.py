from pathlib import Path

import pytest

from fanbell.infra.settings import TABLE, BadSetting, Settings, load, variable_of


def test_defaults() -> None:
    """
    Without anything set, Fanbell listens on loopback, with eight partitions and inboxes of 200.
    """
    settings = load({}, {})

    assert Settings() == settings
    assert (
        settings.host, settings.port, settings.partitions, settings.inbox_keep
    ) == ("127.0.0.1", 8787, 8, 200)  # fmt: skip


def test_flags_outrank_variables_and_variables_the_file(tmp_path: Path) -> None:
    """
    A flag outranks a variable, and a variable the file.
    """
    file = tmp_path / "fanbell.toml"
    file.write_text("port = 1\npartitions = 1\ninbox_keep = 1\n")

    settings = load(
        {"port": 3, "partitions": None}, {"FANBELL_PORT": "2", "FANBELL_PARTITIONS": "2", "HOME": "/x"}, file
    )

    assert (settings.port, settings.partitions, settings.inbox_keep) == (3, 2, 1)


def test_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    """
    FANBELL_CONFIG names the file; a file that a flag names outranks it.
    """
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("port = 1\n")
    two.write_text("port = 2\n")

    assert load({}, {"FANBELL_CONFIG": str(one)}).port == 1
    assert load({}, {"FANBELL_CONFIG": str(one)}, two).port == 2


def test_every_type_can_come_from_a_variable() -> None:
    """
    Numbers, names and folders are read from text.
    """
    settings = load(
        {},
        {
            "FANBELL_DATA": "/srv/fanbell",
            "FANBELL_RATE_LIMIT_PER_TOKEN": "2.5",
            "FANBELL_ALLOWED_HOSTS": "a.example, b.example,",
            "FANBELL_CASSANDRA_TLS": "True",
        },
    )

    assert Path("/srv/fanbell") == settings.data
    assert settings.rate_limit_per_token == 2.5
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.cassandra_tls is True
    assert load({}, {"FANBELL_CASSANDRA_TLS": "false"}).cassandra_tls is False
    assert {line.name: line.value for line in settings.describe()}["cassandra_tls"] == "true"


def test_every_type_can_come_from_the_file(tmp_path: Path) -> None:
    """
    The file has numbers as numbers and names as an array.
    """
    file = tmp_path / "fanbell.toml"
    text = 'data = "d"\nrate_limit_per_token = 2\nallowed_hosts = ["a"]\ncassandra_tls = true\n'
    file.write_text(text, encoding="utf-8")
    settings = load({}, {}, file)

    assert (Path("d"), 2.0, ("a",)) == (settings.data, settings.rate_limit_per_token, settings.allowed_hosts)
    assert settings.cassandra_tls is True


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"FANBELL_PORTS": "1"}, "did you mean FANBELL_PORT"),
        ({"FANBELL_ZZZ": "1"}, "fanbell settings"),
        ({"FANBELL_PORT": "many"}, "FANBELL_PORT: port must be a whole number, not 'many'"),
        ({"FANBELL_PORT": "70000"}, "between 0 and 65,535"),
        ({"FANBELL_PARTITIONS": "0"}, "between 1 and"),
        ({"FANBELL_RATE_LIMIT_PER_TOKEN": "nan"}, "must lie between"),
        ({"FANBELL_LOG_FORMAT": "xml"}, "auto, json, text"),
        ({"FANBELL_DATA": ""}, "a folder"),
        ({"FANBELL_TOKEN_SECRET_PREVIOUS": "x"}, "without token_secret"),
        ({"FANBELL_CONFIG": "/nowhere/fanbell.toml"}, "cannot read"),
    ],
)
def test_bad_variables_are_told(environ: dict[str, str], told: str) -> None:
    """
    A misspelt or unusable variable is an error that says what would be right.
    """
    with pytest.raises(BadSetting, match=told):
        load({}, environ)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "did you mean port"),
        ("port = 'x'", "whole number"),
        ("port = true", "whole number"),
        ("host = 1", "a string"),
        ("allowed_hosts = [1]", "names"),
        ("port = ", "not valid TOML"),
        ("rate_limit_per_token = 'x'", "a number"),
        ("cassandra_tls = 1", "true or false"),
        ("cassandra_tls = 'yes'", "true or false"),
    ],
)
def test_bad_files_are_told(text: str, told: str, tmp_path: Path) -> None:
    """
    A misspelt key or a value of the wrong type in the file is an error that names the file.
    """
    file = tmp_path / "fanbell.toml"
    file.write_text(text)

    with pytest.raises(BadSetting, match=told) as error:
        load({}, {}, file)
    assert str(file) in str(error.value)


def test_unknown_flag_is_told() -> None:
    """
    A flag that names no setting is an error.
    """
    with pytest.raises(BadSetting, match="did you mean partitions"):
        load({"partition": 1}, {})


def test_variables_of_the_clients_are_let_be() -> None:
    """
    FANBELL_URL and FANBELL_TOKEN belong to the command line's clients and are no server's setting.
    """
    assert Settings() == load({}, {"FANBELL_URL": "http://x", "FANBELL_TOKEN": "t"})


def test_secrets_are_never_shown() -> None:
    """
    Neither the list of settings nor an error message shows a secret.
    """
    settings = load({"token_secret": "s3cr3t"}, {})
    shown = {line.name: line.value for line in settings.describe()}

    assert "s3cr3t" not in str(settings.describe())
    assert (shown["token_secret"], shown["token_secret_previous"]) == ("(set)", "")
    assert "s3cr3t" not in repr(settings)


def test_secrets_in_force_come_current_first() -> None:
    """
    Both secrets are in force while rotating, the current one first.
    """
    assert Settings().secrets == ()
    assert load({"token_secret": "new", "token_secret_previous": "old"}, {}).secrets == ("new", "old")


def test_a_key_without_its_certificate_is_refused() -> None:
    """
    Half of a pair would silently be no TLS.
    """
    with pytest.raises(BadSetting, match="tls_certfile"):
        load({}, {"FANBELL_TLS_KEYFILE": "tls.key"})
    assert load({}, {"FANBELL_TLS_CERTFILE": "both.pem"}).tls_certfile == "both.pem"


@pytest.mark.parametrize("name", ["token_secret", "token_jwks_url"])
def test_tokens_are_on_with_a_secret_or_a_provider(name: str) -> None:
    """
    Either of them is enough for tokens to be needed.
    """
    assert not Settings().needs_tokens
    assert load({name: "https://id.example/keys"}, {}).needs_tokens


def test_every_setting_is_described() -> None:
    """
    Each setting is listed with its variable, its default and its meaning.
    """
    lines = Settings().describe()

    assert list(TABLE) == [line.name for line in lines]
    assert all(line.meaning and line.variable == variable_of(line.name) for line in lines)
    assert {"8787"} == {line.default for line in lines if line.name == "port"}


def test_variables_of_tests_are_none_of_ours() -> None:
    """
    What says how tests run (FANBELL_TEST_…) may stand in the shell from which Fanbell is started.
    """
    assert load({}, {"FANBELL_TEST_CLUSTER": "/tmp/cluster"}) == Settings()
    assert not any(variable_of(name).startswith("FANBELL_TEST_") for name in TABLE)
