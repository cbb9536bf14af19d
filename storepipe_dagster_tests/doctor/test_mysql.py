"""Tests of `storepipe_dagster.doctor.mysql` on real servers."""

import contextlib
import dataclasses
import socket
import threading

import pymysql
import pytest

from storepipe_dagster.doctor import TroubleError
from storepipe_dagster.doctor import mysql as doctor
from storepipe_dagster.layers.mysql.schemas import METADATA
from storepipe_dagster.resources.mysql_errors import explain, is_passing
from storepipe_dagster.settings import Settings
from storepipe_dagster_tests.servers.certificates import Authority
from storepipe_dagster_tests.servers.mariadb import LEAST, MariaDb
from storepipe_dagster_tests.servers.mysql_gateway import refusing_loads

CREATED = ("CREATE", True)  # the tables are there: no need to
RIGHTS = LEAST.split(", ")


@pytest.fixture
def server(own_database_server):
    """MariaDB, then MySQL, whose variables and certificates a test may change."""
    return own_database_server


@pytest.fixture
def database(server):
    """An empty database, and a user who may do all in it."""
    return server.create_database()


def settings_of(database, **others):
    values = {name.lower(): value for name, value in database.environment().items()}
    return Settings(_env_file=None, dagster_deployment="azure", **{**values, **others})


def trouble(database, **others):
    """What the doctor finds wrong; never with the password in it."""
    with pytest.raises(TroubleError) as caught:
        doctor.check(settings_of(database, **others))
    told = str(caught.value)
    assert database.password not in told
    assert "hunter2" not in told
    return told


def make_tables(server, database):
    for table in METADATA.sorted_tables:
        columns = ", ".join(f"`{column.name}` INT NOT NULL" for column in table.columns)
        server.execute(f"CREATE TABLE `{database.database}`.`{table.name}` ({columns})")


@contextlib.contextmanager
def variable(server, name, value):
    """Set a variable of the server for all, and set it back."""
    ((before,),) = server.execute(f"SELECT @@global.{name}")
    server.execute(f"SET GLOBAL {name} = %s", [value])
    try:
        yield
    finally:
        server.execute(f"SET GLOBAL {name} = %s", [before])


@contextlib.contextmanager
def saying(words, *, hang_up=True, heard=None):
    """A server that says the same to everybody, and maybe keeps what it heard; gives its port."""
    clients = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.sendall(words)
                    if hang_up:
                        client.close()
                    clients.append(client)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for client in clients:
            if heard is not None:
                with client.makefile("rb") as file:
                    heard += file.read()
            client.close()


# --- well -----------------------------------------------------------------------------------


def test_a_user_with_the_least_rights_is_well(server, authority):
    database = server.create_database(grants=LEAST)

    told = doctor.check(settings_of(database, mysql_ssl_ca=authority.path))

    ((version,),) = server.execute("SELECT VERSION()")
    product = "MariaDB" if "MariaDB" in version else "MySQL"
    assert told == (
        f"MySQL at 127.0.0.1:{database.port} "
        f"({product} {version.partition('-')[0]}, TLSv1.3, LOAD DATA LOCAL)"
    )


def test_nothing_is_made_in_the_database(server, database):
    doctor.check(settings_of(database))

    assert server.execute(f"SHOW TABLES FROM `{database.database}`") == ()


def test_the_rows_stay_as_they_are(server, database):
    make_tables(server, database)
    products = f"`{database.database}`.products"
    server.execute(f"INSERT INTO {products} SELECT 1, 2, 3, 4, 5, 6, 7, 8")

    doctor.check(settings_of(database))

    assert server.execute(f"SELECT * FROM {products}") == ((1, 2, 3, 4, 5, 6, 7, 8),)


def test_tls_without_an_authority_is_told_as_not_verified(database):
    told = doctor.check(settings_of(database))

    assert "TLSv1.3 but MYSQL_SSL_CA is unset: not verified" in told


SLOWER = (
    "so loads use INSERT, which is slower; set local_infile=ON on the server, and let a proxy in "
    "between pass the statement on)"
)


@pytest.mark.parametrize("made", [True, False])
def test_a_server_that_refuses_load_data_local_is_well_and_slower(server, made):
    database = server.create_database(grants=LEAST)
    if made:
        make_tables(server, database)

    with variable(server, "local_infile", 0):
        told = doctor.check(settings_of(database))

    number = 3948 if server.name == "mysql" else 4166
    assert f"no LOAD DATA LOCAL: it is refused with error {number}, {SLOWER}" in told


@pytest.fixture(scope="module")
def without_tls():
    with MariaDb(None, "--skip-ssl") as server:
        yield server


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("code", [1045, 1148, 1227, 9999])
def test_what_refuses_load_data_local_in_between_makes_loads_slower(without_tls, made, code):
    database = without_tls.create_database(grants=LEAST)
    if made:
        make_tables(without_tls, database)

    with refusing_loads(database.port, code) as port:
        told = doctor.check(settings_of(database, mysql_port=port))

    assert f"no LOAD DATA LOCAL: it is refused with error {code}, {SLOWER}" in told
    found = without_tls.execute(f"SHOW TABLES FROM `{database.database}`")
    assert bool(found) is made


def test_what_hangs_up_at_load_data_local_is_wrong(without_tls, monkeypatch):
    """A run would not get over it either."""
    database = without_tls.create_database(grants=LEAST)
    monkeypatch.setattr(doctor, "LOAD_NOTHING", "KILL CONNECTION_ID()")

    assert "the connection" in trouble(database)


def test_a_clock_that_is_far_off_is_told(server, database):
    with variable(server, "init_connect", "SET timestamp = UNIX_TIMESTAMP() + 7200"):
        told = doctor.check(settings_of(database))

    assert told.endswith("its clock is 120 minutes ahead of this machine's: check both")


# --- login ----------------------------------------------------------------------------------


def test_a_wrong_password(database):
    told = trouble(database, mysql_password="hunter2")

    assert told == (
        f"MySQL at 127.0.0.1:{database.port} refuses the password of "
        f"{database.user!r}, or has no such user for this machine. "
        "Check MYSQL_USER and MYSQL_PASSWORD."
    )


def test_an_unknown_user(database):
    assert "refuses the password of 'stranger'" in trouble(database, mysql_user="stranger")


def test_a_locked_account(server, database):
    server.execute(f"ALTER USER '{database.user}' ACCOUNT LOCK")

    assert "has locked the account" in trouble(database)


def test_an_expired_password(server, database):
    server.execute(f"ALTER USER '{database.user}' PASSWORD EXPIRE")

    assert "has expired" in trouble(database)


def test_too_many_connections_of_a_user(server, database):
    server.execute(f"ALTER USER '{database.user}' WITH MAX_USER_CONNECTIONS 1")
    settings = settings_of(database)

    with pymysql.connect(
        host="127.0.0.1",
        port=settings.mysql_port,
        user=settings.mysql_user,
        password=database.password.encode(),
    ):
        assert "allows" in (told := trouble(database))
    assert "no more" in told


def test_a_password_with_any_letters(server, database):
    password = "pässwörd-€-Ω"
    server.execute(f"ALTER USER '{database.user}' IDENTIFIED BY '{password}'")

    assert "MySQL at" in doctor.check(settings_of(database, mysql_password=password))


def hello(plugin):
    return (
        b"\x0a8.4.0\0" + bytes(4) + b"saltsalt\0"  # protocol, version, connection, salt
        # what it can, its letters, its state, the length and the rest of the salt
        + b"\x00\xa2" + b"\x2d" + bytes(2) + b"\x08\x00" + b"\x15" + bytes(10) + b"salt" * 3 + b"\0"
        + plugin + b"\0"
    )  # fmt: skip


def framed(*packets):
    """What a server says, between the answers of a client."""
    return b"".join(
        len(packet).to_bytes(3, "little") + bytes([2 * number]) + packet
        for number, packet in enumerate(packets)
    )


def test_a_login_that_needs_cryptography(database, monkeypatch):
    monkeypatch.setattr(pymysql._auth, "_have_cryptography", False)
    login = hello(b"caching_sha2_password"), b"\x01\x04", b"\x01-----BEGIN PUBLIC KEY-----"
    with saying(framed(*login), hang_up=False) as port:
        told = trouble(database, mysql_port=port)

    assert "needs the Python package cryptography" in told
    assert "make install" in told


@pytest.mark.parametrize("first", [b"mysql_native_password", b"mysql_clear_password"])
@pytest.mark.parametrize("asked", [b"mysql_clear_password\0", b"dialog\0\x02Password: "])
def test_the_password_is_not_given_in_clear_to_whoever_asks_for_it(database, first, asked):
    heard = bytearray()
    with saying(framed(hello(first), b"\xfe" + asked), hang_up=False, heard=heard) as port:
        told = trouble(database, mysql_port=port)

    assert "asks for the password in clear" in told
    assert "MYSQL_SSL_CA" in told
    assert database.user.encode() in heard
    assert database.password.encode() not in heard


# --- database and rights --------------------------------------------------------------------


def test_a_missing_database(server, database):
    server.execute(f"GRANT ALL ON *.* TO '{database.user}'")

    told = trouble(database, mysql_database="nowhere")

    assert "has no database 'nowhere'" in told
    assert "CREATE DATABASE `nowhere` CHARACTER SET utf8mb4" in told


def test_a_database_of_others(server, database):
    other = server.create_database()

    told = trouble(database, mysql_database=other.database)

    assert f"has no database {other.database!r} that {database.user!r} may use" in told
    assert "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE" in told


@pytest.mark.parametrize(
    ("missing", "made"),
    [(right, made) for right in RIGHTS for made in (True, False) if (right, made) != CREATED],
)
def test_each_missing_right_is_named(server, missing, made):
    others = ", ".join(right for right in RIGHTS if right != missing)
    database = server.create_database(grants=others)
    if made:
        make_tables(server, database)

    told = trouble(database)

    for table in ("products", "users", "carts", "cart_items"):
        assert f"{missing} on {table}" in told
    assert not any(f"{right} on" in told for right in others.split(", "))
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `{database.database}`.*" in told


def test_who_has_the_tables_need_not_create_them(server):
    database = server.create_database(grants="SELECT, INSERT, UPDATE, DELETE")
    make_tables(server, database)

    assert doctor.check(settings_of(database))


def test_rights_on_our_tables_alone_are_enough(server):
    database = server.create_database(grants="CREATE TEMPORARY TABLES")
    make_tables(server, database)
    for table in METADATA.tables:
        server.execute(f"GRANT {LEAST} ON `{database.database}`.`{table}` TO '{database.user}'")

    assert doctor.check(settings_of(database))


def test_a_read_only_server(server, database):
    make_tables(server, database)

    with variable(server, "read_only", 1):
        assert "is read-only. Check that MYSQL_HOST is the primary" in trouble(database)


def test_a_read_only_server_without_tables(server, database):
    with variable(server, "read_only", 1):
        assert "is read-only" in trouble(database)


@pytest.mark.parametrize(
    ("version", "told"),
    [("5.7.44-log", "MySQL 5.7.44"), ("10.5.2-MariaDB", "MariaDB 10.5.2")],
)
def test_a_server_that_is_too_old(version, told):
    with MariaDb(None, f"--version={version}") as server:
        database = server.create_database()

        assert f" is {told}, which is too old. Use MySQL 8.0 or MariaDB 10.6" in trouble(database)


# --- network --------------------------------------------------------------------------------


def test_an_unknown_host(database):
    told = trouble(database, mysql_host="db.invalid")

    assert "'db.invalid'" in told
    assert "MYSQL_HOST" in told


def test_a_refused_connection(database, nobody):
    told = trouble(database, mysql_port=nobody)

    assert told == (
        f"MySQL at 127.0.0.1:{nobody} cannot be reached: nobody listens there. "
        "Check MYSQL_HOST and MYSQL_PORT, and that the server runs."
    )


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 0.3)


def test_a_black_hole(database, black_hole, hurried):
    told = trouble(database, mysql_port=black_hole)

    assert "cannot be reached: no answer" in told
    assert "firewall" in told


def test_a_server_that_says_nothing(database, silent, hurried):
    told = trouble(database, mysql_port=silent)

    assert "took the connection and then did not answer in time" in told
    assert "MYSQL_PORT" in told


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"220 mail ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n"]
)
def test_a_server_of_something_else(database, words):
    with saying(words) as port:
        told = trouble(database, mysql_port=port)

    assert f"What answers instead of MySQL at 127.0.0.1:{port} is something else" in told


def test_a_server_that_hangs_up(database):
    with saying(b"") as port:
        assert "has closed the connection" in trouble(database, mysql_port=port)


# --- TLS ------------------------------------------------------------------------------------


@contextlib.contextmanager
def certificate(server, new):
    """Let the server show another certificate."""
    before = server.certificate
    names = ("certificate", "key")

    def use(files):
        # The paths are fixed while it runs, what stands in them is not.
        for name in names:
            getattr(before, name).write_bytes(files[name])
        server.execute("ALTER INSTANCE RELOAD TLS" if server.name == "mysql" else "FLUSH SSL")

    old = {name: getattr(before, name).read_bytes() for name in names}
    try:
        use({name: getattr(new, name).read_bytes() for name in names})
        yield
    finally:
        use(old)


def test_a_certificate_of_another_authority(database, tmp_path):
    told = trouble(database, mysql_ssl_ca=Authority(tmp_path).path)

    assert told.startswith(f"The certificate of MySQL at 127.0.0.1:{database.port} is of an")
    assert "Set MYSQL_SSL_CA to that authority's file" in told


def test_a_certificate_of_another_host(server, database, authority):
    ca = authority.path.read_bytes()
    with certificate(server, authority.issue("db.example")):
        told = trouble(database, mysql_ssl_ca=authority.path)
        named = trouble(database, mysql_ssl_ca=authority.path, mysql_host="localhost")

    assert authority.path.read_bytes() == ca
    assert "is for another address. Use a name that it has: check MYSQL_HOST" in told
    assert "is for another host name. Use a name that it has: check MYSQL_HOST" in named


def test_an_expired_certificate(own_mariadb, authority):  # MySQL takes none
    database = own_mariadb.create_database()
    with certificate(own_mariadb, authority.issue(expired=True)):
        told = trouble(database, mysql_ssl_ca=authority.path)

    assert "has expired. Renew it there" in told


def test_a_server_without_tls(without_tls, authority):
    database = without_tls.create_database(grants=LEAST)

    assert "offers no TLS, which MYSQL_SSL_CA asks for" in trouble(
        database, mysql_ssl_ca=authority.path
    )
    assert "no TLS, LOAD DATA LOCAL)" in doctor.check(settings_of(database))


def test_a_file_of_authorities_that_is_not_there(database, tmp_path):
    told = trouble(database, mysql_ssl_ca=tmp_path / "absent.pem")

    assert told.startswith("The file that MYSQL_SSL_CA names cannot be read: No such file")


def test_a_file_of_authorities_without_any(database, tmp_path):
    (tmp_path / "ca.pem").write_text("hunter2")

    assert "holds no certificate" in trouble(database, mysql_ssl_ca=tmp_path / "ca.pem")


# --- errors of transactions, as a real server makes them --------------------------------------


def connect(database):
    arguments = dataclasses.asdict(database)
    return pymysql.connect(**{**arguments, "password": database.password.encode()})


def run(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def fails(connection, sql, database):
    with pytest.raises(pymysql.MySQLError) as caught:
        run(connection, sql)
    told = explain(caught.value, "db", 3306, database.user, database.database)
    return told, is_passing(caught.value)


@pytest.fixture
def two(database):
    """Two connections, and a table of two rows that the first has a lock on."""
    with connect(database) as first, connect(database) as second:
        run(first, "CREATE TABLE things (id INT PRIMARY KEY, text VARCHAR(3)) ENGINE=InnoDB")
        run(first, "INSERT INTO things VALUES (1, 'a'), (2, 'b')")
        first.commit()
        run(first, "UPDATE things SET text = 'c' WHERE id = 1")
        yield first, second


def test_a_lock_that_is_held_too_long_passes(two, database):
    run(two[1], "SET innodb_lock_wait_timeout = 1")

    told, passing = fails(two[1], "UPDATE things SET text = 'd' WHERE id = 1", database)

    assert "waited too long for a lock" in told
    assert passing


def test_a_deadlock_passes(two, database):
    first, second = two
    run(second, "UPDATE things SET text = 'd' WHERE id = 2")
    errors = []

    def close_the_circle():
        try:
            run(first, "UPDATE things SET text = 'e' WHERE id = 2")
        except pymysql.MySQLError as error:
            errors.append(error)

    thread = threading.Thread(target=close_the_circle)
    thread.start()
    try:
        run(second, "UPDATE things SET text = 'e' WHERE id = 1")
    except pymysql.MySQLError as error:
        errors.append(error)
    second.rollback()
    thread.join()

    assert [error.args[0] for error in errors] == [1213]
    assert is_passing(errors[0])


def test_a_killed_connection_passes(server, two, database):
    server.execute(f"KILL {two[1].thread_id()}")

    told, passing = fails(two[1], "SELECT 1", database)

    assert "the connection" in told
    assert passing


def test_a_closed_connection_passes(database):
    connection = connect(database)
    connection.close()

    told, passing = fails(connection, "SELECT 1", database)

    assert "closed the connection" in told
    assert passing


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("INSERT INTO things VALUES (2, 'hunter2')", "1406"),
        ("INSERT INTO things VALUES (2, 'z')", "1062"),
        ("INSERT INTO things VALUES ('hunter2', 'z')", "1366"),
        ("INSERT 'hunter2' INTO things", "1064"),
    ],
)
def test_an_error_of_the_rows_stays_and_tells_none_of_them(two, database, sql, number):
    told, passing = fails(two[1], sql, database)

    assert f"error {number}: " in told
    assert "hunter2" not in told
    assert not passing
