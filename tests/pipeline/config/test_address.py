import pytest

from pipeline.config.address import has_password, refuse_secrets, show_address
from pipeline.config.reader import load_params
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.logins import hide_logins

WITH_PASSWORD = {
    "http://me:secret@host/x.zip": "http://host/x.zip",
    "https://me:se/cret@host/x.zip": "https://host/x.zip",
    "https://me:se@cret@host/x.zip?a=b@c": "https://host/x.zip?…",
    "HTTP://:secret@host": "HTTP://host",
    "http://me:12345@host:8080/x": "http://host:8080/x",
    "http://me:se%20cret@[::1]/x": "http://[::1]/x",
}
WITHOUT = {
    "http://host:8080/@me/x.zip": "http://host:8080/@me/x.zip",
    "http://host/a@b.zip": "http://host/a@b.zip",
    "http://me@host/x.zip": "http://host/x.zip",
    "http://[::1]:80/x": "http://[::1]:80/x",
    "https://host/x.zip?token=secret": "https://host/x.zip?…",
    "https://host?time=12:30@noon": "https://host?…",
    "/home/me:secret@host/x.zip": "/home/me:secret@host/x.zip",
    "doi:10.5281/zenodo.7": "doi:10.5281/zenodo.7",
}


@pytest.mark.parametrize("address", WITH_PASSWORD)
def test_a_password_is_found_and_not_shown(address):
    assert has_password(address)
    assert show_address(address) == WITH_PASSWORD[address]
    assert "cret" not in hide_logins(f"received {address!r}")


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_a_password_is_shown_without_user_and_query(address):
    assert not has_password(address)
    assert show_address(address) == WITHOUT[address]
    if "token" not in address:
        assert refuse_secrets(address) == address


@pytest.mark.parametrize(("section", "key"), [("data", "path"), ("sources__cifar10", "url")])
def test_params_with_a_password_are_refused_in_a_line_without_it(project, section, key):
    project.set(**{f"{section}__{key}": "https://me:secret@host/x.zip"})
    with pytest.raises(PipelineError) as caught:
        load_params()
    line = str(caught.value)
    assert f"{key}: expected an address without a password" in line
    assert "IMAGE_PIPELINE_PASSWORD" in line
    assert "netrc" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "query",
    [
        "token=cret",
        "a=b&X-Amz-Signature=cret",
        "sv=2024&sig=cret",
        "API_KEY=cret",
        "access_token=cret",
        "accessToken=cret",
        "apikey=cret",
        "%74oken=cret",
        "jwt=cret",
        "pass=cret",
        "bearer=cret",
        "X-Goog-Credential=cret",
    ],
)
def test_a_secret_in_a_query_is_refused_in_a_line_without_it(project, query):
    project.set(data__path=f"https://host/x.zip?{query}")
    with pytest.raises(
        PipelineError, match=r"data\.path: expected an address without a .*IMAGE_PIPELINE_QUERY"
    ) as caught:
        load_params()
    assert "cret" not in str(caught.value).replace("secret", "")


@pytest.mark.parametrize(
    "token", ["ghp_cret", "hf_cret", "glpat-cret", "github_pat_cret", "AKIAcret", "cret0123456789abcdef"]
)
def test_a_token_in_place_of_a_user_is_refused_in_a_line_without_it(project, token):
    for address in (f"https://{token}@host/x.zip", f"https://{token}:@host/x.zip"):
        project.set(data__path=address)
        with pytest.raises(
            PipelineError, match=r"data\.path: expected an address without a (token|password)"
        ) as caught:
            load_params()
        assert "cret" not in str(caught.value).replace("secret", "")


@pytest.mark.parametrize(
    "name",
    ["data__labels", "prune__exclude", "prune__relabel", "evaluate__outside_path", "recipes__vgg16__backbone__weights"],
)
def test_so_is_an_address_where_only_a_file_is_expected(project, name):
    """It would be in dvc.lock all the same."""
    value = "https://me:cret@host/x.csv"
    project.set(**({"recipes__vgg16": {"backbone": {"weights": value}}} if "vgg16" in name else {name: value}))
    with pytest.raises(PipelineError, match=name.rpartition("__")[2]) as caught:
        load_params()
    assert "cret" not in str(caught.value).replace("secret", "")


@pytest.mark.parametrize(
    "address", ["https://host/x.zip?download=1&keyword=a", "/home/me/x?token=1.zip", "https://host/token=1"]
)
def test_other_queries_and_paths_are_kept(address):
    assert refuse_secrets(address) == address


@pytest.mark.parametrize("encoding", ["klingon", "hex", ""])
def test_a_code_page_must_exist(project, encoding):
    project.set(data__encoding=encoding)
    with pytest.raises(PipelineError, match=r"data\.encoding: expected the name of a code page"):
        load_params()


@pytest.mark.parametrize("encoding", ["cp932", "gbk", "UTF-8", None])
def test_a_code_page_may_be_any_that_python_knows(project, encoding):
    project.set(data__encoding=encoding)
    assert load_params().data.encoding == encoding
