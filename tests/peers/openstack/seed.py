#!/usr/bin/env python3
"""What is in the cloud when the peer is ready. Both steps can be run again: what is there stays.

    seed.py STATE catalog   once Keystone answers: services with their endpoints and users, roles
    seed.py STATE content   once all services answer: flavors, image, networks, projects, people; writes STATE/peer.json

Of peer.json:

| member | is |
|---|---|
| `auth_url`, `region`, `endpoints` | where the cloud is; `endpoints` by service type, as the administrator's catalogue has them |
| `admin` | the cloud's administrator |
| `accounts` | by project: the service user as which a site acts there; that of `biology` has an application credential besides |
| `users` | who logs in at a site, with their Keystone groups; alice has an application credential besides |
| `flavors`, `image`, `networks` | ids; machines of every project may join the network `common` |
"""
import json
import os
import secrets
import sys
import time

import openstack

REGION = "RegionOne"
HOST = "127.0.0.1"
AUTH_URL = f"http://{HOST}:5000/v3"

# Service user: type, and what follows the host in its endpoint.
SERVICES = {
    "glance": ("image", ":9292"),
    "placement": ("placement", ":8778"),
    "nova": ("compute", ":8774/v2.1"),
    "cinder": ("volumev3", ":8776/v3/%(project_id)s"),
    "neutron": ("network", ":9696"),
}

FLAVORS = {  # RAM in MiB, virtual CPUs, disk in GiB
    "m1.tiny": (512, 1, 1),
    "m1.small": (2048, 1, 20),
    "m1.medium": (4096, 2, 40),
}

# A project with a Keystone group of its name, and the service user `archipel-NAME`. More than Nova's own 10 instances,
# because orders come in swarms here; `chemistry` is where a quota is met.
PROJECTS = {
    "physics": {"instances": 100, "cores": 200, "ram": 1_000_000, "volumes": 100},
    "biology": {"instances": 100, "cores": 200, "ram": 1_000_000, "volumes": 100},
    "chemistry": {"instances": 1, "cores": 2, "ram": 4096, "volumes": 1},
}

USERS = {  # and their groups
    "alice": ["physics"],
    "bob": ["biology"],
    "carol": ["chemistry"],
    "dave": ["physics"],
    "erin": [],
}

# Who has an application credential too, and for which project.
APPLICATION_CREDENTIALS = {"archipel-biology": "biology", "alice": "physics"}


def main():
    state, step = sys.argv[1:]
    passwords = Passwords(f"{state}/etc/passwords.json")
    {"catalog": catalog, "content": content}[step](state, passwords)


class Passwords:
    """A random one for each name, kept, so that a second run finds the same."""

    def __init__(self, path):
        self.path = path
        self.known = {}
        if os.path.exists(path):
            with open(path) as file:
                self.known = json.load(file)

    def of(self, name):
        if name not in self.known:
            # Not only letters: what carries it must escape it.
            self.known[name] = secrets.token_urlsafe(15) + '+/"&é'
            write_private(self.path, self.known)
        return self.known[name]


def write_private(path, value):
    beside = path + ".part"
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
    os.rename(beside, path)


def cloud(user, password, project):
    return openstack.connect(
        auth_url=AUTH_URL, region_name=REGION, username=user, password=password, project_name=project,
        user_domain_name="Default", project_domain_name="Default",
    )


def administrator(state):
    with open(f"{state}/etc/secret") as file:
        return cloud("admin", file.read().strip(), "admin")


def ensure(find, create, name, **members):
    return find(name, ignore_missing=True) or create(name=name, **members)


def until(what, ask, seconds=120):
    """The first answer that is something. Services come up in their own time."""
    last = None
    for _ in range(seconds):
        try:
            last = ask()
            if last:
                return last
        except Exception as error:  # whatever it is, it is told in the end
            last = error
        time.sleep(1)
    sys.exit(f"{what}: {last}")


def ensure_user(identity, name, password):
    return ensure(identity.find_user, identity.create_user, name, password=password, domain_id="default")


def catalog(state, _):
    with open(f"{state}/etc/secret") as file:
        secret = file.read().strip()
    identity = administrator(state).identity
    roles = {
        name: ensure(identity.find_role, identity.create_role, name)
        for name in ("admin", "member", "reader", "service")
    }
    service_project = ensure(identity.find_project, identity.create_project, "service", domain_id="default")
    for name, (kind, path) in SERVICES.items():
        user = ensure_user(identity, name, secret)
        for role in ("admin", "service"):
            identity.assign_project_role_to_user(service_project, user, roles[role])
        service = ensure(identity.find_service, identity.create_service, name, type=kind)
        there = {endpoint.interface for endpoint in identity.endpoints(service_id=service.id)}
        for interface in {"public", "internal", "admin"} - there:
            identity.create_endpoint(
                service_id=service.id, interface=interface, region_id=REGION, url=f"http://{HOST}{path}"
            )


def content(state, passwords):
    admin = administrator(state)
    until("no compute host", lambda: list(admin.compute.hypervisors()))
    until("no volume backend", lambda: volume_backends(admin))
    for name, (ram, vcpus, disk) in FLAVORS.items():
        ensure(admin.compute.find_flavor, admin.compute.create_flavor, name, ram=ram, vcpus=vcpus, disk=disk)
    image = admin.get_image("cirros") or admin.create_image(
        "cirros", filename=f"{state}/images/empty.qcow2", wait=True,
        disk_format="qcow2", container_format="bare", visibility="public",
    )
    external, common = networks(admin)
    member = admin.identity.find_role("member")
    groups = {}
    accounts = {}
    for project, quota in PROJECTS.items():
        groups[project], accounts[project] = project_of_a_site(admin, project, quota, member, passwords)
    users = {name: person(admin, name, [groups[group] for group in of], passwords) for name, of in USERS.items()}
    write_private(f"{state}/peer.json", {
        "auth_url": AUTH_URL,
        "region": REGION,
        "admin": {
            "username": "admin",
            "password": open(f"{state}/etc/secret").read().strip(),
            "user_id": admin.current_user_id,
            "project_name": "admin",
            "project_id": admin.current_project_id,
            "domain": "Default",
        },
        "accounts": accounts,
        "users": users,
        "endpoints": {
            kind: admin.endpoint_for(kind) for kind in ["identity"] + [kind for kind, _ in SERVICES.values()]
        },
        "flavors": {flavor.name: flavor.id for flavor in admin.compute.flavors()},
        "image": {"name": image.name, "id": image.id},
        "networks": {network.name: network.id for network in (external, common)},
    })


def volume_backends(admin):
    services = admin.block_storage.get("/os-services").json()["services"]
    return [one for one in services if one["binary"] == "cinder-volume" and one["state"] == "up"]


def networks(admin):
    """One to the outside, and one that every project's machines may join."""
    network = admin.network
    external = ensure(
        network.find_network, network.create_network, "public", is_router_external=True,
        provider_network_type="flat", provider_physical_network="physnet1",
    )
    common = ensure(network.find_network, network.create_network, "common", is_shared=True)
    for of, cidr in ((external, "203.0.113.0/24"), (common, "10.96.0.0/16")):
        ensure(
            network.find_subnet, network.create_subnet, f"{of.name}-subnet", network_id=of.id, ip_version=4, cidr=cidr,
            is_dhcp_enabled=False,
        )
    return external, common


def project_of_a_site(admin, name, quota, member, passwords):
    """The project, its group, and the user as which a site acts in it."""
    identity = admin.identity
    project = ensure(identity.find_project, identity.create_project, name, domain_id="default")
    group = ensure(identity.find_group, identity.create_group, name, domain_id="default")
    identity.assign_project_role_to_group(project, group, member)
    username = f"archipel-{name}"
    user = ensure_user(identity, username, passwords.of(username))
    identity.assign_project_role_to_user(project, user, member)
    admin.set_compute_quotas(project.id, **{key: quota[key] for key in ("instances", "cores", "ram")})
    admin.set_volume_quotas(project.id, volumes=quota["volumes"])
    account = person(admin, username, [], passwords)
    return group, account | {"project_name": name, "project_id": project.id}


def person(admin, name, groups, passwords):
    password = passwords.of(name)
    user = ensure_user(admin.identity, name, password)
    for group in groups:
        admin.identity.add_user_to_group(user, group)
    made = {
        "username": name,
        "password": password,
        "user_id": user.id,
        "domain": "Default",
        "groups": [group.name for group in groups],
    }
    if name in APPLICATION_CREDENTIALS:
        made["application_credential"] = application_credential(name, password, passwords)
    return made


def application_credential(name, password, passwords):
    """Made by the user itself: nobody else can."""
    own = cloud(name, password, APPLICATION_CREDENTIALS[name])
    identity, user = own.identity, own.current_user_id
    secret = passwords.of(f"{name}/site")
    made = identity.find_application_credential(user, "site", ignore_missing=True)
    made = made or identity.create_application_credential(user, name="site", secret=secret)
    return {"id": made.id, "name": "site", "secret": secret}


if __name__ == "__main__":
    main()
