"""What watches the services: Prometheus and Grafana."""
