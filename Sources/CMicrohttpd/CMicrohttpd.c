#include "CMicrohttpd.h"

#include <sys/resource.h>

#ifdef __linux__
#include <sys/epoll.h>
#else
#include <unistd.h>
#endif

/// A connection is a file, of which a program may have few until it asks for more. Some are left for all else, such as pictures
/// that are fetched and libraries that are loaded.
static unsigned int connections_that_fit(unsigned int most) {
  const rlim_t others = 128;
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= most + others) return most;
  files.rlim_cur = files.rlim_max < most + others ? files.rlim_max : most + others;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= most + others) return most;
  return files.rlim_cur > others ? (unsigned int)(files.rlim_cur - others) : 1;
}

struct MHD_Daemon *cmhd_start(const CMHDOptions *options) {
  unsigned int flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
  struct MHD_OptionItem tls[] = {
    {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)options->certificate},
    {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)options->private_key},
    {MHD_OPTION_END, 0, NULL},
  };
  struct MHD_OptionItem *more = tls + 2;
  if (options->certificate != NULL) {
    flags |= MHD_USE_TLS;
    more = tls;
  }
  return MHD_start_daemon(
    flags, 0, NULL, NULL, options->handle, options->context,
    MHD_OPTION_LISTEN_SOCKET, (MHD_socket)options->listen_socket,
    MHD_OPTION_NOTIFY_COMPLETED, options->completed, options->context,
    MHD_OPTION_NOTIFY_CONNECTION, options->connection_changed, options->context,
    MHD_OPTION_CONNECTION_LIMIT, connections_that_fit(options->max_connections),
    MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout,
    MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->connection_memory,
    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

int cmhd_socket(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info == NULL ? -1 : (int)info->connect_fd;
}

const struct sockaddr *cmhd_client_address(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  return info == NULL ? NULL : info->client_addr;
}

#ifdef __linux__
int cmhd_watch_new(void) { return epoll_create1(EPOLL_CLOEXEC); }

void cmhd_watch_add(int watch, int socket) {
  struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.fd = socket};
  epoll_ctl(watch, EPOLL_CTL_ADD, socket, &event);
}

void cmhd_watch_remove(int watch, int socket) { epoll_ctl(watch, EPOLL_CTL_DEL, socket, NULL); }

int cmhd_watch_wait(int watch, int milliseconds) {
  struct epoll_event event;
  return epoll_wait(watch, &event, 1, milliseconds) == 1 ? event.data.fd : -1;
}
#else
int cmhd_watch_new(void) { return -1; }
void cmhd_watch_add(int watch, int socket) { (void)watch, (void)socket; }
void cmhd_watch_remove(int watch, int socket) { (void)watch, (void)socket; }

int cmhd_watch_wait(int watch, int milliseconds) {
  (void)watch;
  usleep((useconds_t)milliseconds * 1000);
  return -1;
}
#endif
