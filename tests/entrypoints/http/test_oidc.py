"""Signing in with a provider, over real HTTP: who comes in, and every way in which a token or an answer is not right."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from starlette.testclient import TestClient
from tests.oidc_provider import NOW, Key, OidcProvider, providing

import affidavit
from affidavit.adapters.oidc import Client, Provider
from affidavit.app.credentials import LINK
from affidavit.app.people import REFUSED, Entry
from affidavit.app.signin import SignIn
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import ProviderError, UnauthenticatedError, UsageError
from affidavit.domain.events import EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.store.people import Tenant
from affidavit.testing.clock import FixedClock

pytestmark = [
    pytest.mark.network,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
]
HERE = "https://ask.example.com"
API = "https://ask.example.com/v1"
RSA = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "k1"})
Make = Callable[..., TestClient]


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with providing() as found:
        found.key = RSA
        found.claims = {"email": "alice@acme.example", "email_verified": True}
        yield found


@pytest.fixture
def acme(workspace: affidavit.Workspace) -> Tenant:
    people = [
        Entry("user:alice@acme.example", frozenset({"group:staff"}), {}),
        Entry("user:alice", frozenset(), {}),
    ]
    workspace.load_people(people, "acme")
    return workspace.parts.tenant("acme")


@pytest.fixture
def make(workspace: affidavit.Workspace, acme: Tenant, provider: OidcProvider) -> Make:
    def build(**more: Any) -> TestClient:
        settings = SignIn(HERE, provider.issuer, provider.client_id, provider.secret, **more)
        return TestClient(make_app(workspace, signin=settings), base_url=HERE, follow_redirects=False)

    return build


def leave(browser: TestClient, next: str = "/") -> str:
    answer = browser.get("/signin/begin", params={"next": next})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def come_back(browser: TestClient, provider: OidcProvider, next: str = "/") -> Any:
    return browser.get("/signin/callback" + provider.approve(leave(browser, next)))


def me(browser: TestClient) -> str:
    found = browser.get("/v1/me")
    return str(found.json()["principal"]) if found.status_code == 200 else ""


def test_somebody_signs_in_and_out(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace
) -> None:
    browser = make()
    address = leave(browser, "/runs?after=3")
    query = parse_qs(urlsplit(address).query)
    assert query["redirect_uri"] == [HERE + "/signin/callback"]
    assert len(query["state"][0]) >= 43
    assert query["state"] != query["nonce"]
    answer = browser.get("/signin/callback" + provider.approve(address))
    assert answer.headers["location"] == "/runs?after=3"
    assert "__Host-affidavit-signin" not in browser.cookies
    assert me(browser) == "user:alice@acme.example"
    page = browser.get("/signin?out=1").text
    assert (
        f"{provider.issuer}/out?x=1&amp;client_id=affidavit&amp;post_logout_redirect_uri=https%3A%2F%2Fask"
        in page
    )
    workspace.verify()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_other_kinds_of_keys(make: Make, provider: OidcProvider, algorithm: str) -> None:
    kinds: dict[str, Key] = {
        "ES256": ECKey.generate_key("P-256", {"kid": "e"}),
        "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "d"}),
    }
    provider.algorithm, provider.key = algorithm, kinds[algorithm]
    browser = make()
    come_back(browser, provider)
    assert me(browser) == "user:alice@acme.example"


# -- what is not right with a token


def unsigned(provider: OidcProvider, claims: dict[str, Any]) -> str:
    said = {"iss": provider.issuer, "aud": "affidavit", "sub": "1", "iat": NOW, "exp": NOW + 300, **claims}
    parts = ({"alg": "none", "kid": "k1"}, said)
    return ".".join(urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."


def shared(provider: OidcProvider, claims: dict[str, Any]) -> str:
    """Signed with HMAC, the public key for its secret."""
    said = {"iss": provider.issuer, "aud": "affidavit", "sub": "1", "iat": NOW, "exp": NOW + 300, **claims}
    key = OctKey.import_key(RSA.as_pem(private=False).replace(b"-----", b"     "))
    return jwt.encode({"alg": "HS256", "kid": "k1"}, said, key, algorithms=["HS256"])


def by_stranger(provider: OidcProvider, claims: dict[str, Any]) -> str:
    provider.key = OTHER_RSA
    token = provider.sign(claims)
    provider.key = RSA
    return token


def changed(provider: OidcProvider, claims: dict[str, Any]) -> str:
    head, body, signature = provider.sign(claims).split(".")
    said = {
        **json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4))),
        "sub": "other",
        "email": "bob@acme.example",
    }
    return f"{head}.{urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.{signature}"


def embedded(provider: OidcProvider, claims: dict[str, Any]) -> str:
    """Signed by a stranger's key that the header brings along."""
    provider.key = OTHER_RSA
    token = provider.sign(claims, jwk=OTHER_RSA.as_dict(private=False), kid=None)
    provider.key = RSA
    return token


FORGERIES = [unsigned, shared, by_stranger, changed, embedded]
WRONG: list[dict[str, Any]] = [
    {"iss": "https://evil.example"},
    {"iss": None},
    {"aud": "another-app"},
    {"aud": ["another-app", "third"]},
    {"aud": None},
    {"aud": ["affidavit", "another-app"]},
    {"aud": ["affidavit", "another-app"], "azp": "another-app"},
    {"azp": "another-app"},
    {"nonce": "another"},
    {"nonce": None},
    {"nonce": 1},
    {"exp": NOW - 61},
    {"exp": None},
    {"exp": "tomorrow"},
    {"exp": float("nan")},
    {"exp": True},
    {"iat": NOW + 61},
    {"iat": NOW - 86_400 - 61},
    {"iat": None},
    {"nbf": NOW + 61},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
]


@pytest.fixture(scope="module")
def one_provider() -> Iterator[tuple[OidcProvider, Provider]]:
    with providing() as found:
        found.key = RSA
        yield found, Provider(found.issuer, Client("affidavit", "x", HERE), FixedClock())


@pytest.mark.parametrize("claims", WRONG, ids=str)
def test_a_token_that_says_the_wrong_thing(
    one_provider: tuple[OidcProvider, Provider], claims: dict[str, Any]
) -> None:
    provider, client = one_provider
    assert client.identity(provider.sign({"nonce": "n"}), "n")
    with pytest.raises(UnauthenticatedError):
        client.identity(provider.sign({"nonce": "n", **claims}), "n")


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_token_that_the_provider_did_not_sign(
    one_provider: tuple[OidcProvider, Provider], forge: Callable[[OidcProvider, dict[str, Any]], str]
) -> None:
    provider, client = one_provider
    with pytest.raises(UnauthenticatedError):
        client.identity(forge(provider, {"nonce": "n"}), "n")


def by_hand(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Rightly signed with the provider's key, whatever the header says."""
    head, body = (urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in (header, claims))
    assert RSA.private_key
    signature = RSA.private_key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{body}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ({}, True),
        ({"crit": ["exp"]}, False),
        ({"crit": ["b64"], "b64": True}, False),
        ({"crit": []}, False),
        ({"alg": "RS384"}, False),
        ({"alg": "PS256"}, False),
        ({"alg": "rs256"}, False),
        ({"alg": ["RS256"]}, False),
        ({"alg": None}, False),
        ({"kid": 7}, False),
    ],
    ids=str,
)
def test_a_token_signed_in_a_way_that_is_not_accepted(
    one_provider: tuple[OidcProvider, Provider], header: dict[str, Any], good: bool
) -> None:
    provider, client = one_provider
    claims = {
        "iss": provider.issuer,
        "aud": "affidavit",
        "sub": "1",
        "iat": NOW,
        "exp": NOW + 9,
        "nonce": "n",
    }
    token = by_hand({"alg": "RS256", "kid": "k1", **header}, claims)
    if good:
        assert client.identity(token, "n")
        return
    with pytest.raises(UnauthenticatedError):
        client.identity(token, "n")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "é.b.c",
        "e30.e30.e30",
        "W10.W10.",
        "x" * 40_000,
        "." * 9,
        "bnVsbA.e30.e30",
    ],
)
def test_what_is_no_token(one_provider: tuple[OidcProvider, Provider], token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        one_provider[1].identity(token, "n")


def test_clocks_may_differ_a_little(one_provider: tuple[OidcProvider, Provider]) -> None:
    provider, client = one_provider
    for claims in ({"exp": NOW - 59}, {"iat": NOW + 60}, {"nbf": NOW + 60}, {"aud": ["affidavit"]}):
        assert client.identity(provider.sign({"nonce": "n", **claims}), "n")
    several = {"aud": ["affidavit", "x"], "azp": "affidavit"}
    assert client.identity(provider.sign({"nonce": "n", **several}), "n")


# -- keys


def test_a_new_key_is_asked_for_and_strangers_do_not_make_us_ask_all_the_time(
    provider: OidcProvider, clock: FixedClock
) -> None:
    client = Provider(provider.issuer, Client("affidavit", "x", HERE), clock)
    assert client.identity(provider.sign({"nonce": "n"}), "n")
    provider.key = RSAKey.generate_key(2048, {"kid": "k2"})
    with pytest.raises(UnauthenticatedError):
        client.identity(provider.sign({"nonce": "n"}), "n")  # asked a moment ago
    clock.advance(31 * MICROSECONDS)
    assert client.identity(provider.sign({"nonce": "n"}), "n")
    before = provider.asked.count("/jwks")
    provider.key = RSAKey.generate_key(2048, {"kid": "k3"})
    provider.keys = [RSA.as_dict(private=False)]
    for _ in range(20):
        with pytest.raises(UnauthenticatedError):
            client.identity(provider.sign({"nonce": "n"}), "n")
    assert provider.asked.count("/jwks") == before


KEYS: dict[str, Callable[[], list[Any]]] = {
    "for encryption": lambda: [{**RSA.as_dict(private=False), "use": "enc"}],
    "for another algorithm": lambda: [{**RSA.as_dict(private=False), "alg": "RS512"}],
    "private": lambda: [RSA.as_dict(private=True)],
    "too short": lambda: [RSAKey.generate_key(1024, {"kid": "k1"}).as_dict(private=False)],
    "of another kind": lambda: [ECKey.generate_key("P-384", {"kid": "k1"}).as_dict(private=False)],
    "shared": lambda: [OctKey.generate_key(256, {"kid": "k1"}).as_dict()],
    "nonsense": lambda: [{"kty": "new", "kid": "k1"}, "nonsense", None, {"kty": "RSA", "kid": "k1"}],
    "none": lambda: [{"kid": "none"}],
    "two of one name": lambda: [RSA.as_dict(private=False), OTHER_RSA.as_dict(private=False)],
}


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_keys_that_nothing_is_believed_by(provider: OidcProvider, clock: FixedClock, keys: str) -> None:
    client = Provider(provider.issuer, Client("affidavit", "x", HERE), clock)
    provider.keys = KEYS[keys]()
    with pytest.raises(UnauthenticatedError):
        client.identity(provider.sign({"nonce": "n"}), "n")


@pytest.mark.parametrize(
    "about",
    [{"issuer": "https://evil.example"}, {"jwks_uri": "ftp://x/"}, {"jwks_uri": 7}, {"jwks_uri": None}],
)
def test_a_provider_that_is_not_what_it_should_be(
    provider: OidcProvider, clock: FixedClock, about: dict[str, Any]
) -> None:
    provider.about = about
    client = Provider(provider.issuer, Client("affidavit", "x", HERE), clock)
    with pytest.raises(ProviderError):
        client.identity(provider.sign({"nonce": "n"}), "n")


def test_a_provider_that_is_down_lets_nobody_in_and_says_so(make: Make, provider: OidcProvider) -> None:
    provider.broken = True
    answer = make().get("/signin/begin")
    assert answer.status_code == 502
    assert "/signin" in answer.text


def test_a_provider_that_is_down_is_not_asked_for_every_stranger(
    provider: OidcProvider, clock: FixedClock
) -> None:
    """Each would else hold a thread for as long as it takes to find out."""
    client = Provider(provider.issuer, Client("affidavit", "x", HERE), clock)
    token = provider.sign({"nonce": "n"})
    provider.broken = True
    for _ in range(10):
        with pytest.raises(ProviderError):
            client.identity(token, "n")
    assert len(provider.asked) == 1
    provider.broken = False
    clock.advance(6 * MICROSECONDS)
    assert client.identity(token, "n")


def test_nobody_waits_long_for_what_another_asks_the_provider(clock: FixedClock) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(request: httpx.Request) -> httpx.Response:
        asked.set()
        over.wait()
        return httpx.Response(503)

    def http() -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(silent))

    client = Provider("https://sign.example", Client("affidavit", "x", HERE), clock, http)
    with ThreadPoolExecutor(1) as first:
        waiting = first.submit(client.about)
        try:
            assert asked.wait(60)
            with pytest.raises(ProviderError, match="slowly"):
                client.about()
        finally:
            over.set()
        with pytest.raises(ProviderError):
            waiting.result()


# -- what is not right with an answer


def test_an_answer_counts_in_the_browser_that_asked(make: Make, provider: OidcProvider) -> None:
    victim, attacker = make(), make()
    answer = provider.approve(leave(attacker))
    leave(victim)
    for browser in (victim, make()):  # one that began, one that did not
        assert browser.get("/signin/callback" + answer).status_code == 401
        assert me(browser) == ""
    assert attacker.get("/signin/callback" + answer).status_code == 303


def test_an_answer_counts_once(make: Make, provider: OidcProvider) -> None:
    browser = make()
    answer = provider.approve(leave(browser))
    assert browser.get("/signin/callback" + answer).status_code == 303
    browser.cookies.delete("__Host-affidavit")
    assert browser.get("/signin/callback" + answer).status_code == 401
    assert me(browser) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.replace("state=", "state=x"),
        lambda a: a.replace("state=", "other="),
        lambda a: a.replace("code=", "other="),
        lambda a: a.replace("iss=http", "iss=https"),
        lambda a: a.partition("&iss=")[0],
        lambda a: a + "&error=access_denied",
        lambda a: a.replace("code=code", "code=guess"),
        lambda a: "",
    ],
)
def test_an_answer_that_was_tampered_with(
    make: Make, provider: OidcProvider, change: Callable[[str], str]
) -> None:
    browser = make()
    answer = provider.approve(leave(browser))
    refused = browser.get("/signin/callback" + change(answer))
    assert refused.status_code == 401
    assert me(browser) == ""
    assert browser.get("/signin/callback" + answer).status_code == 401  # one try for each beginning


def test_a_cookie_that_was_tampered_with(make: Make, provider: OidcProvider) -> None:
    browser = make()
    answer = provider.approve(leave(browser))
    kept = browser.cookies["__Host-affidavit-signin"]
    packed, _, seal = kept.partition(".")
    mine = urlsafe_b64encode(json.dumps(["s", "n", "v", "/", 0]).encode()).decode()
    for wrong in (f"{mine}.{seal}", packed, f"{packed}.", "", ".", f"{packed}x.{seal}"):
        browser.cookies.clear()
        browser.cookies.set("__Host-affidavit-signin", wrong)
        assert browser.get("/signin/callback" + answer).status_code == 401


def test_who_takes_too_long_begins_again(make: Make, provider: OidcProvider, clock: FixedClock) -> None:
    provider.claims["exp"] = NOW + 3600
    browser = make()
    answer = provider.approve(leave(browser))
    clock.advance(LINK - 1)
    assert browser.get("/signin/callback" + answer).status_code == 303
    answer = provider.approve(leave(browser))
    clock.advance(LINK)
    assert browser.get("/signin/callback" + answer).status_code == 401


@pytest.mark.parametrize(
    "next", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(make: Make, provider: OidcProvider, next: str) -> None:
    assert come_back(make(), provider, next).headers["location"] == "/"


# -- the provider says that somebody signed out

EVENT = "http://schemas.openid.net/event/backchannel-logout"


def tell(browser: TestClient, provider: OidcProvider, **claims: Any) -> int:
    token = provider.sign({"events": {EVENT: {}}, "jti": "1", **claims}, typ="logout+jwt")
    return browser.post("/signin/backchannel", data={"logout_token": token}).status_code


def test_who_signs_out_at_the_provider_is_out_here(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace
) -> None:
    desk, phone, other = make(), make(), make()
    for browser, sid in ((desk, "s1"), (phone, "s2")):
        provider.claims["sid"] = sid
        come_back(browser, provider)
    provider.claims = {"preferred_username": "alice", "sub": "alice", "sid": "s3"}
    come_back(other, provider)
    assert tell(desk, provider, sub="24400320", sid="s1") == 200
    assert (me(desk), me(phone), me(other)) == ("", "user:alice@acme.example", "user:alice")
    assert tell(desk, provider, sub="alice", sid="s2") == 200  # nobody's: the two do not belong together
    assert tell(desk, provider, sub="stranger") == 200
    assert me(phone)
    assert tell(desk, provider, sub="24400320") == 200
    assert (me(phone), me(other)) == ("", "user:alice")
    assert tell(desk, provider, sub=None, sid="s3") == 200
    assert me(other) == ""
    workspace.verify()


@pytest.mark.parametrize(
    "claims",
    [
        {"events": None},
        {"events": {"other": {}}},
        {"events": {EVENT: True}},
        {"events": [EVENT]},
        {"nonce": "n"},
        {"aud": "another-app"},
        {"iss": "https://evil.example"},
        {"exp": NOW - 100},
        {"iat": None},
        {"sub": None},
        {"sub": 7},
        {"sub": None, "sid": 7},
    ],
    ids=str,
)
def test_a_word_that_is_not_right_signs_nobody_out(
    make: Make, provider: OidcProvider, claims: dict[str, Any]
) -> None:
    browser = make()
    come_back(browser, provider)
    assert tell(browser, provider, **claims) == 401
    assert me(browser)


def test_no_token_of_another_kind_signs_anybody_out_or_in(make: Make, provider: OidcProvider) -> None:
    browser = make(resource=API)
    come_back(browser, provider)
    for token in (provider.sign({}), access(provider), unsigned(provider, {"events": {EVENT: {}}}), ""):
        assert browser.post("/signin/backchannel", data={"logout_token": token}).status_code == 401
    assert me(browser)
    word = provider.sign({"events": {EVENT: {}}, "sub": "24400320"})
    assert make(resource=API).get("/v1/me", headers=bearer(word)).status_code == 401


# -- who it is


@pytest.mark.parametrize(
    ("claims", "settings", "who"),
    [
        ({"email": "Alice@ACME.example"}, {}, "user:alice@acme.example"),
        ({"email_verified": False, "sub": "alice"}, {}, "user:alice"),
        ({"email_verified": "true", "sub": "alice"}, {}, "user:alice"),
        ({"email_verified": False, "sub": "alice@acme.example"}, {}, ""),
        ({"email_verified": False}, {"principal_claim": "email"}, ""),
        ({"preferred_username": "alice"}, {"principal_claim": "preferred_username"}, "user:alice"),
        (
            {"preferred_username": "Alice@ACME.example"},
            {"principal_claim": "preferred_username"},
            "user:alice@acme.example",
        ),
        ({"sub": "Alice"}, {"principal_claim": "sub"}, ""),
        ({}, {"principal_claim": "preferred_username"}, ""),
        ({"preferred_username": ["alice"]}, {"principal_claim": "preferred_username"}, ""),
        ({"preferred_username": "a\u200blice"}, {"principal_claim": "preferred_username"}, ""),
        ({"email": "bob@acme.example"}, {}, ""),
        ({"email": "bob@acme.example"}, {"create": True}, "user:bob@acme.example"),
    ],
)
def test_whom_claims_are_about(
    make: Make, provider: OidcProvider, claims: dict[str, Any], settings: dict[str, Any], who: str
) -> None:
    provider.claims.update(claims)
    browser = make(**settings)
    assert come_back(browser, provider).status_code == (303 if who else 401)
    assert me(browser) == who


@pytest.mark.parametrize(
    ("info", "who"),
    [
        (
            {"sub": "24400320", "email": "alice@acme.example", "email_verified": True},
            "user:alice@acme.example",
        ),
        ({"sub": "another", "email": "alice@acme.example", "email_verified": True}, ""),
        ({"email": "alice@acme.example", "email_verified": True}, ""),
    ],
)
def test_what_the_token_leaves_out_is_asked_for(
    make: Make, provider: OidcProvider, info: dict[str, Any], who: str
) -> None:
    provider.claims, provider.info = {}, info
    browser = make()
    assert come_back(browser, provider).status_code == (303 if who else 401)
    assert me(browser) == who


def test_the_token_counts_before_what_is_said_elsewhere(make: Make, provider: OidcProvider) -> None:
    provider.claims = {"preferred_username": "alice"}
    provider.info = {"sub": "24400320", "preferred_username": "alice@acme.example", "groups": ["x"]}
    browser = make(principal_claim="preferred_username", groups_claim="groups", groups_prefix="sso-")
    come_back(browser, provider)
    assert browser.get("/v1/me").json()["groups"] == ["group:sso-x"]
    assert me(browser) == "user:alice"


def test_whoever_was_removed_is_not_made_again_by_signing_in(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    workspace.people.remove(acme, "user:alice@acme.example")
    browser = make(create=True)
    assert come_back(browser, provider).status_code == 401
    assert me(browser) == ""


def test_an_address_that_is_given_to_somebody_else_does_not_make_them_who_had_it(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    first, second = make(resource=API, groups_claim="groups", groups_prefix="sso-"), make()
    come_back(first, provider)
    assert me(first) == "user:alice@acme.example"
    provider.claims |= {"sub": "the next alice", "groups": ["board"]}
    assert come_back(second, provider).status_code == 401
    assert me(second) == ""
    assert me(first) == "user:alice@acme.example"  # the first is still signed in
    assert "group:sso-board" not in groups(workspace, acme)
    theirs = access(provider, sub="the next alice")
    assert make(resource=API).get("/v1/me", headers=bearer(theirs)).status_code == 401
    events = workspace.parts.events
    noted = [events.body(e) for e in events.of_kind(EventKind.AUDIT_PERFORMED)]
    assert [one["principal"] for one in noted] == ["user:alice@acme.example"]
    assert workspace.bindings.unbind(acme, "alice@acme.example", "operator:dave") == 1
    assert me(first) == ""
    come_back(second, provider)
    assert me(second) == "user:alice@acme.example"
    assert workspace.bindings.unbind(acme, "alice", "operator:dave") == 0
    workspace.verify()


def test_an_account_is_one_person_whatever_it_is_called_later(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    browser, other = make(), make(create=True)
    come_back(browser, provider)
    provider.claims["email"] = "bob@acme.example"
    assert come_back(other, provider).status_code == 401
    assert "user:bob@acme.example" not in workspace.people.names(acme)
    # who was removed and is made known anew begins anew
    workspace.people.remove(acme, "user:alice@acme.example")
    workspace.load_people([Entry("user:alice@acme.example", frozenset(), {})], "acme")
    provider.claims |= {"email": "alice@acme.example", "sub": "the next alice"}
    assert come_back(other, provider).status_code == 303
    assert me(other) == "user:alice@acme.example"
    workspace.verify()


def groups(ws: affidavit.Workspace, acme: Tenant) -> list[str]:
    found: list[str] = ws.people.show(acme, "user:alice@acme.example")["groups"]
    return found


def test_groups_come_and_go_with_the_provider_and_ours_stay(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    browser = make(groups_claim="groups", groups_prefix="sso-")
    provider.claims["groups"] = ["finance", "board", "", "bad\x00name", 7, "x" * 300]
    come_back(browser, provider)
    assert groups(workspace, acme) == ["group:sso-", "group:sso-board", "group:sso-finance", "group:staff"]
    head = workspace.parts.log.head()
    provider.claims["groups"] = "finance"
    come_back(browser, provider)
    assert groups(workspace, acme) == ["group:sso-finance", "group:staff"]
    assert workspace.parts.log.head() > head
    del provider.claims["groups"]
    come_back(browser, provider)
    assert groups(workspace, acme) == ["group:staff"]
    workspace.verify()


def test_groups_that_come_with_grants_are_not_the_providers_unless_the_settings_say_so(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    for name, grant in (("sso-chiefs", "role:admin"), ("sso-readers", "audit:read")):
        workspace.people.grant(acme, f"group:{name}", grant)
    workspace.people.join(acme, "user:alice@acme.example", "sso-readers")
    provider.claims["groups"] = ["chiefs", "plain"]
    come_back(make(groups_claim="groups", groups_prefix="sso-"), provider)
    assert groups(workspace, acme) == ["group:sso-plain", "group:sso-readers", "group:staff"]
    events = workspace.parts.events
    noted = [
        events.body(e) for e in events.of_kind(EventKind.AUDIT_PERFORMED) if e.facts["action"] == REFUSED
    ]
    assert [(one["by"], one["groups"]) for one in noted] == [
        ("provider", ["group:sso-chiefs", "group:sso-readers"])
    ]
    named = ("sso-chiefs", "sso-readers")
    come_back(make(groups_claim="groups", groups_prefix="sso-", role_groups=named), provider)
    assert groups(workspace, acme) == ["group:sso-chiefs", "group:sso-plain", "group:staff"]
    moved = events.body(list(events.of_kind(EventKind.MEMBERSHIP_CHANGED))[-1])
    assert (moved["by"], moved["joined"], moved["left"]) == (
        "provider",
        ["group:sso-chiefs"],
        ["group:sso-readers"],
    )


@pytest.mark.parametrize(
    "claims", [{"_claim_names": {"groups": "src1"}}, {"groups": {"a": 1}}, {"groups": ["g"] * 1001}]
)
def test_groups_that_are_not_all_there_let_nobody_in(
    make: Make, provider: OidcProvider, workspace: affidavit.Workspace, acme: Tenant, claims: dict[str, Any]
) -> None:
    provider.claims.update(claims)
    browser = make(groups_claim="groups", groups_prefix="sso-")
    assert come_back(browser, provider).status_code == 401
    assert groups(workspace, acme) == ["group:staff"]


@pytest.mark.parametrize(
    "settings",
    [
        SignIn(HERE, "https://x.example"),
        SignIn("", "https://x.example", "c"),
        SignIn(HERE, "https://x.example", "c", groups_claim="groups"),
        SignIn(HERE, "https://x.example", "c", resource="c"),
    ],
)
def test_settings_that_cannot_be_meant_so(settings: SignIn) -> None:
    with pytest.raises(UsageError):
        settings.check()


def test_settings_as_the_file_has_them() -> None:
    said = {
        "issuer": "https://login.example",
        "client_id": "c",
        "client_secret_file": "secret",
        "tenant": "acme",
        "principal_claim": "sub",
        "groups_claim": "groups",
        "groups_prefix": "sso-",
        "create": True,
        "session_hours": 4,
        "idle_minutes": 5,
        "resource": "",
    }
    found = SignIn.of(said, HERE + "/", "s")
    assert found == SignIn(
        HERE, "https://login.example", "c", "s", "acme", "sub", "groups", "sso-", True, HERE, 4, 5
    )
    with pytest.raises(UsageError):
        SignIn.of({**said, "groups_prefix": ""}, HERE, "s")


# -- access tokens


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def access(provider: OidcProvider, **claims: Any) -> str:
    return provider.sign({**provider.claims, "aud": API, "client_id": "an-agent", **claims})


def test_an_access_token_for_us_is_its_owners(make: Make, provider: OidcProvider) -> None:
    api = make(resource=API)
    assert (
        api.get("/v1/me", headers=bearer(access(provider))).json()["principal"] == "user:alice@acme.example"
    )
    narrow = access(provider, scope="openid question:ask")
    assert api.get("/v1/me", headers=bearer(narrow)).status_code == 403
    assert api.post("/v1/search", json={"question": "x"}, headers=bearer(narrow)).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "affidavit"},
        {"aud": "https://other.example"},
        {"aud": None},
        {"sub": "an-agent"},
        {"sub": "a", "azp": "a"},
        {"exp": NOW - 100},
        {"iss": "https://evil.example"},
        {"nonce": "n"},
    ],
)
def test_another_token_is_not(make: Make, provider: OidcProvider, claims: dict[str, Any]) -> None:
    assert make(resource=API).get("/v1/me", headers=bearer(access(provider, **claims))).status_code == 401


def test_an_access_token_signs_nobody_in_where_none_is_accepted(make: Make, provider: OidcProvider) -> None:
    assert make().get("/v1/me", headers=bearer(access(provider))).status_code == 401


def test_an_access_token_of_a_stranger_opens_nothing(make: Make, provider: OidcProvider) -> None:
    api = make(resource=API, create=True)
    stranger = access(provider, email="mallory@acme.example")
    assert api.get("/v1/me", headers=bearer(stranger)).status_code == 403
