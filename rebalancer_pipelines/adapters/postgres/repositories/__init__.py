"""One repository per aggregate; rows become the domain's frozen values here."""
