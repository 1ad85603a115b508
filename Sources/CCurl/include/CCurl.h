// libcurl behind a fixed argument list: what ends in "..." there cannot be called from Swift.
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *url;
  long max_milliseconds;
  /// "HOST:PORT:ADDRESS,..." for a host whose addresses are not looked up; NULL for none.
  const char *resolved;
  /// Whether an address may be connected to. It is the very one that is connected to, whatever a name says the next time.
  bool (*allows)(void *context, const struct sockaddr *address);
  /// Takes bytes as they come; false ends it with CURLE_WRITE_ERROR.
  bool (*receive)(void *context, const char *bytes, size_t count);
  /// Asked about once a second; true ends it with CURLE_ABORTED_BY_CALLBACK.
  bool (*is_cancelled)(void *context);
  /// Given to all three.
  void *context;
} CCurlRequest;

/// Fetches over HTTP or HTTPS, following few redirects; returns when that is done. `status` is the last answer's.
CURLcode ccurl_get(const CCurlRequest *request, long *status);

#ifdef __cplusplus
}
#endif
