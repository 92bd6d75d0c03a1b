# SPDX-License-Identifier: Apache-2.0
"""Debian's servers in guests, and whether they work, asked by their own clients."""

import hashlib
import shlex
from dataclasses import dataclass
from typing import Callable

from . import oci, paths
from .case import expect, expect_equal
from .channel import Process
from .guest import Guest

REDIS_PORT, NGINX_PORT, POSTGRES_PORT = 6379, 80, 5432
MEMCACHED_PORT, ETCD_PORT, JAVA_PORT = 11211, 2379, 9400
PORTS = f"{REDIS_PORT}, {NGINX_PORT}, {POSTGRES_PORT}"
ROWS = 200000


@dataclass
class Server:
    name: str
    port: int
    process: Process
    # By a client in that guest, at that address; it has to be the right answer.
    ask: Callable[[Guest, str], None]


def wait_listening(guest: Guest, port: int) -> None:
    guest.check(f"for i in {{1..100}}; do ss -Hltn 'sport = :{port}' | grep -q . && exit 0; sleep 0.1; done; exit 1")


def expect_sum(told: str, data: str, what: str) -> None:
    """`told`: by sha256sum."""
    expect_equal(told.split()[0], hashlib.sha256(data.encode()).hexdigest(), f"checksum of what {what}")


def redis(guest: Guest) -> Server:
    # Debian's redis-tools has the server too, which goes by the name it is called.
    process = guest.spawn("ln -sf /usr/bin/redis-check-rdb /run/redis-server && cd /run && "
                          "exec /run/redis-server --protected-mode no --save '' "
                          "--bind 0.0.0.0 '::'")
    process.wait_output("Ready to accept connections", 30)
    return Server("redis", REDIS_PORT, process, ask_redis)


def ask_redis(client: Guest, address: str) -> None:
    value = "steer" * 1000
    redis_cli = ["redis-cli", "-h", address]
    expect_equal(client.check([*redis_cli, "set", "key", value]).strip(), "OK", "redis' answer")
    expect_equal(client.check([*redis_cli, "get", "key"]).strip(), value, "what redis kept")
    told = client.check(["redis-benchmark", "-h", address, "-q", "-c", "4", "-n", "400", "-d",
                         "1024", "-t", "set,get"])
    expect("GET" in told and "rror" not in told, f"redis-benchmark said {told!r}")


def nginx(guest: Guest) -> Server:
    guest.put("/run/www/page", oci.page())
    config = oci.NGINX_CONF.replace("root /www;", "root /run/www;")
    guest.put("/run/nginx.conf", config)
    guest.check("mkdir -p /var/lib/nginx/body /var/log/nginx")
    program = paths.containers_dir() / "usr/sbin/nginx"
    process = guest.spawn([str(program), "-c", "/run/nginx.conf"])
    wait_listening(guest, NGINX_PORT)
    return Server("nginx", NGINX_PORT, process, ask_nginx)


def ask_nginx(client: Guest, address: str) -> None:
    told = client.check(f"busybox wget -q -O - http://{address}/page | sha256sum")
    expect_sum(told, oci.page(), "nginx sent")


PROGRAMS = "/run/programs"
LIBRARIES = f"LD_LIBRARY_PATH={PROGRAMS}/usr/lib/x86_64-linux-gnu"


def see_programs(guest: Guest) -> None:
    """At a place that everybody may look into, which a home directory is not."""
    guest.check(f"mountpoint -q {PROGRAMS} || {{ mkdir -p {PROGRAMS} && mount --bind "
                f"{paths.containers_dir()} {PROGRAMS}; }}")


def postgres_command(program: str, *words: str) -> str:
    return f"{LIBRARIES} {shlex.join([f'{PROGRAMS}/usr/lib/postgresql/15/bin/{program}', *words])}"


def postgres(guest: Guest) -> Server:
    """Its data are in memory; it does not run as root."""
    data = "/run/postgres"
    see_programs(guest)
    setup = postgres_command("initdb", "--no-sync", "--username", "steer", "--auth", "trust",
                             "--locale", "C", "--encoding", "UTF8", data)
    as_nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/run"
    guest.check(f"install -d -o 65534 -g 65534 -m 700 {data}; {as_nobody} bash -c "
                f"{shlex.quote(setup)} && echo 'host all all all trust' >>{data}/pg_hba.conf", 120)
    run = postgres_command("postgres", "-D", data, "-c", "listen_addresses=*", "-c", "fsync=off",
                           "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB")
    process = guest.spawn(f"exec {as_nobody} bash -c {shlex.quote('exec env ' + run)}")
    process.wait_output("ready to accept connections", 60)
    return Server("PostgreSQL", POSTGRES_PORT, process, ask_postgres)


def ask_postgres(client: Guest, address: str) -> None:
    see_programs(client)
    query = f"copy (select generate_series(1, {ROWS})) to stdout"
    psql = postgres_command("psql", "--host", address, "--username", "steer", "--dbname",
                            "postgres", "--no-psqlrc", "--quiet", "--tuples-only", "--command",
                            query)
    told = client.check(f"{psql} | sha256sum", 60)
    rows = "".join(f"{number}\n" for number in range(1, ROWS + 1))
    expect_sum(told, rows, "PostgreSQL sent")


def memcached(guest: Guest) -> Server:
    see_programs(guest)
    process = guest.spawn(f"{LIBRARIES} exec {PROGRAMS}/usr/bin/memcached -v -u nobody -l 0.0.0.0")
    wait_listening(guest, MEMCACHED_PORT)
    return Server("memcached", MEMCACHED_PORT, process, ask_memcached)


def ask_memcached(client: Guest, address: str) -> None:
    see_programs(client)
    at = f"--servers={address}"
    tools = f"{PROGRAMS}/usr/bin"
    value = "steer" * 100_000
    client.put("/run/value", value)
    told = client.check(f"export {LIBRARIES}; {tools}/memccp {at} /run/value && {tools}/memccat {at} value | sha256sum", 60)
    expect_sum(told, value + "\n", "memcached kept")
    told = client.check(f"{LIBRARIES} {tools}/memcslap {at} --concurrency=4 --execute-number=2000 --test=get", 120)
    expect("8000 keys" in told and "rror" not in told, f"memcslap said {told!r}")


VALUES = 24


def etcd(guest: Guest) -> Server:
    """A program in Go, whose runtime has a poller of its own."""
    see_programs(guest)
    url = f"http://{guest.ip4}:{ETCD_PORT}"
    process = guest.spawn([f"{PROGRAMS}/usr/bin/etcd", "--data-dir", "/run/etcd", "--listen-client-urls", url,
                           "--advertise-client-urls", url])
    process.wait_output("ready to serve client requests", 60)
    return Server("etcd", ETCD_PORT, process, ask_etcd)


def ask_etcd(client: Guest, address: str) -> None:
    see_programs(client)
    value = "steer" * 200_000
    client.put("/run/value", value)
    etcdctl = f"{PROGRAMS}/usr/bin/etcdctl --endpoints http://{address}:{ETCD_PORT}"
    client.check(f"for i in {{1..{VALUES}}}; do {etcdctl} put key$i </run/value >/dev/null || exit 1; done", 200)
    told = client.check(f"{etcdctl} get --prefix key --print-value-only | tr -d '\\n' | sha256sum", 120)
    expect_sum(told, value * VALUES, "etcd kept")


def java_command(*words: str) -> list[str]:
    java = f"{PROGRAMS}/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
    return [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m",
            str(paths.REPO / "tests" / "vm" / "programs" / "Echo.java"), *words]


def java(guest: Guest) -> Server:
    see_programs(guest)
    process = guest.spawn(java_command("serve", str(JAVA_PORT)))
    process.wait_output("listening", 180)
    return Server("Java", JAVA_PORT, process, ask_java)


def ask_java(client: Guest, address: str) -> None:
    see_programs(client)
    told = client.check(java_command("check", address, str(JAVA_PORT), "1500"), 240)
    expect_equal(told.strip(), "right", "Java's answer")


ALL = (redis, nginx, postgres)
# Of other languages and with other habits, slower to start.
MORE = (memcached, etcd, java)
