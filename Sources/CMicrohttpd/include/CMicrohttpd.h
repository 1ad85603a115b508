// GNU libmicrohttpd behind fixed argument lists: what ends in "..." there cannot be called from Swift.
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  /// A socket that listens; the daemon takes it over.
  int listen_socket;
  /// PEM texts; NULL for plain HTTP.
  const char *certificate;
  const char *private_key;
  unsigned int max_connections;
  /// Seconds without a byte after which a connection is closed.
  unsigned int idle_timeout;
  /// Bytes for a connection's headers and buffers.
  size_t connection_memory;
  MHD_AccessHandlerCallback handle;
  MHD_RequestCompletedCallback completed;
  MHD_NotifyConnectionCallback connection_changed;
  /// Given to every callback.
  void *context;
} CMHDOptions;

/// One thread that serves until `MHD_stop_daemon`; its connections can be suspended. NULL on failure.
struct MHD_Daemon *cmhd_start(const CMHDOptions *options);

/// A connection's socket, and the client's address; -1 and NULL where it has none.
int cmhd_socket(struct MHD_Connection *connection);
const struct sockaddr *cmhd_client_address(struct MHD_Connection *connection);

/// A set of sockets whose clients may go while libmicrohttpd does not look; -1 where the system has none.
int cmhd_watch_new(void);
void cmhd_watch_add(int watch, int socket);
void cmhd_watch_remove(int watch, int socket);
/// A socket whose client has gone, which is told once; -1 after so many milliseconds without any.
int cmhd_watch_wait(int watch, int milliseconds);

#ifdef __cplusplus
}
#endif
