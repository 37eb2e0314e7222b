"""The provider's file of labels: what is understood, and that nothing in it stops a router."""

import json

import pytest

from astara.instance import provider_rules


def read(tmp_path, content):
    path = tmp_path / "provider_rules.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return provider_rules.read(str(path))


def test_the_file_of_earlier_releases(tmp_path):
    content = {"labels": {"ext": ["192.168.57.0/24"]}, "prerules": [], "postrules": []}
    assert read(tmp_path, content) == {"ext": ("192.168.57.0/24",)}


def test_without_a_file_there_is_nothing_to_count(tmp_path):
    assert provider_rules.read(str(tmp_path / "none.json")) == {}


def test_networks_are_spelled_one_way(tmp_path):
    content = {"labels": {"a": ["192.0.2.7/24", "2001:DB8::/32", "192.0.2.0/24"]}}
    assert read(tmp_path, content) == {"a": ("192.0.2.0/24", "2001:db8::/32")}


@pytest.mark.parametrize(
    "content",
    ["not json", [], {"labels": []}, {"labels": {"a": ["300.1.2.3/8"]}}, {"labels": {"a": 7}}],
)
def test_what_cannot_be_understood_is_left_out(tmp_path, content):
    assert read(tmp_path, content) == {}


def test_a_name_that_no_document_takes_is_left_out(tmp_path):
    content = {"labels": {"a\nb": ["192.0.2.0/24"], "good": ["192.0.2.0/24"]}}
    assert read(tmp_path, content) == {"good": ("192.0.2.0/24",)}
