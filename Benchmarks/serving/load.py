"""Requests per second and latency of a server that speaks OpenAI's API, at several concurrencies.

Usage: load.py URL MODEL PICTURE [--requests N] [--max-tokens N] [--concurrency 1,4,16,64] [--stream] [--same]
Prints a line per concurrency: requests per second, median and 99th percentile of the latency; with --stream the time to the
first token instead.
"""

import argparse
import asyncio
import base64
import json
import os
import time
from urllib.parse import urlparse


async def ask(reader, writer, request, stream):
    began = time.perf_counter()
    writer.write(request)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    first = None
    if b"chunked" in head.lower():
        while True:
            size = int(await reader.readline(), 16)
            part = await reader.readexactly(size + 2)
            if first is None and b'"content":"' in part and b'"content":""' not in part:
                first = time.perf_counter() - began
            if size == 0:
                break
    else:
        length = next(int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length"))
        await reader.readexactly(length)
    return status, first if stream and first else time.perf_counter() - began


async def worker(url, make, left, times, stream):
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    while left:
        left.pop()
        status, seconds = await ask(reader, writer, make(), stream)
        assert status == 200, status
        times.append(seconds)
    writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--concurrency", default="1,4,16,64")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--same", action="store_true", help="send one picture again and again, which is encoded once")
    options = parser.parse_args()
    url = urlparse(options.url)
    picture = open(options.picture, "rb").read()

    def make():
        # Bytes behind the end of a JPEG make another file of the same picture.
        own = picture if options.same else picture + os.urandom(9)
        data = "data:image/jpeg;base64," + base64.b64encode(own).decode()
        body = json.dumps({
            "model": options.model, "max_tokens": options.max_tokens, "temperature": 0, "stream": options.stream,
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data}}]}]}).encode()
        return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body)

    for concurrency in map(int, options.concurrency.split(",")):
        times = []
        await asyncio.gather(*(worker(url, make, [0] * 2, times, options.stream) for _ in range(concurrency)))
        times, left = [], [0] * options.requests
        began = time.perf_counter()
        await asyncio.gather(*(worker(url, make, left, times, options.stream) for _ in range(concurrency)))
        seconds = time.perf_counter() - began
        times.sort()
        name = "first token" if options.stream else "latency"
        print(f"{concurrency:3d} at once: {len(times) / seconds:7.1f} requests/s, {name} p50 {1000 * times[len(times) // 2]:7.1f} ms, "
              f"p99 {1000 * times[int(len(times) * 0.99)]:7.1f} ms", flush=True)


asyncio.run(main())
