import Foundation

/// Writing to what is open.
package enum Descriptor {
  /// Writes all bytes, waiting for whoever reads them.
  /// - Parameter patience: milliseconds to wait each time that nothing can be written; for ever where negative
  /// - Returns: 0, or the `errno` of what went wrong
  package static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, patience: Int32 = -1)
    -> Int32
  {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let written = Foundation.write(descriptor, base + done, min(bytes.count - done, 1 << 30))
      if written > 0 {
        done += written
      } else if written < 0, errno == EAGAIN {
        // Another program may have made the stream one that does not wait.
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&wanted, 1, patience) == 0 { return EAGAIN }
      } else if written == 0 || errno != EINTR {
        return written == 0 ? EIO : errno
      }
    }
    return 0
  }
}
