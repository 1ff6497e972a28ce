# The server alone (docs/serve.md): no TensorFlow, no DVC. The model is mounted at /model.
FROM python:3.11-slim

WORKDIR /app
COPY constraints.txt ./
# What `python -m stages.serve` imports, and nothing else: not the project's own dependencies, of which training needs most.
RUN pip install --no-cache-dir --no-compile -c constraints.txt \
    fastapi google-crc32c httptools httpx2 imagecodecs numpy onnxruntime pillow prometheus-client pydantic python-multipart pyyaml \
    tifffile uvicorn
COPY params.yaml ./
COPY pipeline ./pipeline
COPY stages ./stages

RUN useradd --system --no-create-home --uid 10001 serve
USER 10001
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
HEALTHCHECK --start-period=20s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=3)"]
CMD ["python", "-m", "stages.serve", "--folder", "/model", "--host", "0.0.0.0", "--port", "8000"]
