"""Grafana's data source and dashboard."""
