"""Metrics for Prometheus: `catalogue` what there is, `totals` what schedulers have counted, added up, `collector` from
there to samples, `exposition` the text that is scraped, `reference` the page of all of them.
"""
