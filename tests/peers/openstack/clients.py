"""Machines as others make them, for `cargo xtask bench clouds`.

    clients.py openstacksdk|libcloud WARM_UP COUNT THREADS

Makes WARM_UP machines, says `warm`, makes COUNT (THREADS at a time), says `done`, and then the seconds from asking to
ACTIVE of each; with several threads from the beginning of all. After `warm` and `done` it waits for a line. Each
machine is asked for as a person would: image, flavour and network by their names, in the way that the library's own
documentation shows. Account and region are in the usual OS_* variables. Nothing is deleted.
"""
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

IMAGE, FLAVOR, NETWORK = "cirros", "m1.tiny", "common"


def openstacksdk():
    import openstack

    cloud = openstack.connect(
        user_domain_name="Default", project_domain_name="Default", load_yaml_config=False, load_envvars=True
    )

    def make(name):
        cloud.create_server(
            name, image=IMAGE, flavor=FLAVOR, network=NETWORK, auto_ip=False, wait=True, timeout=600
        )

    return make


def libcloud():
    from libcloud.compute.providers import get_driver
    from libcloud.compute.types import Provider

    url = urlsplit(os.environ["OS_AUTH_URL"])
    driver = get_driver(Provider.OPENSTACK)(
        os.environ["OS_USERNAME"],
        os.environ["OS_PASSWORD"],
        ex_force_auth_url=f"{url.scheme}://{url.netloc}",
        ex_force_auth_version="3.x_password",
        ex_tenant_name=os.environ["OS_PROJECT_NAME"],
        ex_domain_name="Default",
        ex_force_service_region=os.environ["OS_REGION_NAME"],
        api_version="2.2",
        secure=False,
    )

    def named(items, name):
        return next(item for item in items if item.name == name)

    def make(name):
        node = driver.create_node(
            name=name,
            image=named(driver.list_images(), IMAGE),
            size=named(driver.list_sizes(), FLAVOR),
            networks=[named(driver.ex_list_networks(), NETWORK)],
        )
        driver.wait_until_running([node], wait_period=0.5, timeout=600, ssh_interface="private_ips")

    return make


def say(word):
    print(word, flush=True)
    sys.stdin.readline()


def main():
    client, (warm_up, count, threads) = sys.argv[1], map(int, sys.argv[2:])
    make = {"openstacksdk": openstacksdk, "libcloud": libcloud}[client]()
    for n in range(warm_up):
        make(f"warm{n}")
    say("warm")
    began = time.monotonic()

    def timed(n):
        since = began if threads > 1 else time.monotonic()
        make(f"m{n}")
        return time.monotonic() - since

    with ThreadPoolExecutor(threads) as pool:
        took = list(pool.map(timed, range(count)))
    say("done")
    for seconds in took:
        print(seconds)


if __name__ == "__main__":
    main()
