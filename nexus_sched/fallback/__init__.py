"""Who places when prediction cannot: plain Python that stands on nothing it guards."""
