"""What sets do not share, held against two plain subtractions."""

from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import difference

_SETS = st.frozensets(st.sampled_from("abcdef"))


@given(_SETS, _SETS)
def test_what_goes_and_what_comes(present, wanted):
    assert difference.between(present, wanted) == (present - wanted, wanted - present)
