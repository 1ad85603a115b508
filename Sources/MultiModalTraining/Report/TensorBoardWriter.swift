import Foundation
import Torch

/// Writes a run's curves as TensorBoard reads them.
///
/// A file is a sequence of TFRecords (https://www.tensorflow.org/tutorials/load_data/tfrecord), each an `Event` in the
/// protocol buffers' wire format (tensorboard/compat/proto/event.proto and summary.proto).
struct TensorBoardWriter {
  private var file: AppendedFile

  /// Begins a file of its own in `folder`; TensorBoard reads a folder's files one after another, in their names' order.
  ///
  /// - Parameter step: what earlier files hold of later steps, TensorBoard drops, because a resumed run takes them again
  init(folder: URL, keepingStepsUpTo step: Int = 0) throws {
    try AtomicFile.makeFolder(folder)
    let prefix = "events.out.tfevents."
    let earlier = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasPrefix(prefix) }
      .compactMap { $0.dropFirst(prefix.count).prefix { $0 != "." }.wholeSeconds }
    // Two runs in one second, or a clock that was set back, must not change the order.
    let seconds = max(Int(Date().timeIntervalSince1970), (earlier.max() ?? 0) + 1)
    file = try AppendedFile(
      folder.appendingPathComponent("\(prefix)\(seconds).\(Self.hostName).\(getpid())"), isNew: true)
    try append(step: 0) { $0.add(3, bytes: "brain.Event:2".utf8) }  // file_version
    try append(step: step + 1) { event in
      event.add(7) { $0.add(1, integer: 1) }  // session_log: status START
    }
  }

  /// - Throws: once; after that the writer is silent.
  mutating func add(_ scalars: [(tag: String, value: Double)], step: Int) throws {
    try append(step: step) { event in
      event.add(5) { summary in
        for scalar in scalars {
          summary.add(1) { value in
            value.add(1, bytes: scalar.tag.utf8)
            value.add(2, float: Float(scalar.value))
          }
        }
      }
    }
  }

  private mutating func append(step: Int, _ what: (inout ProtocolBuffer) -> Void) throws {
    var event = ProtocolBuffer()
    event.add(1, double: Date().timeIntervalSince1970)
    event.add(2, integer: step)
    what(&event)
    let length = Data(littleEndian: UInt64(event.data.count))
    try file.append(
      length + Data(littleEndian: Self.masked(length)) + event.data
        + Data(littleEndian: Self.masked(event.data)))
  }

  /// TFRecord's checksum: rotated and moved, so that the checksum of data that hold one is no weak one.
  static func masked(_ data: Data) -> UInt32 {
    let crc = CRC32C.checksum(data)
    return (crc >> 15 | crc << 17) &+ 0xa282_ead8
  }

  /// Not `ProcessInfo`'s, which may ask the network.
  private static var hostName: String {
    var bytes = [CChar](repeating: 0, count: 256)
    let isKnown = gethostname(&bytes, bytes.count - 1) == 0
    let name = String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      .filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".") }
    return isKnown && !name.isEmpty ? name : "localhost"
  }
}

extension Substring {
  /// Seconds since 1970 as they have ten digits, so that names' order is that of time.
  fileprivate var wholeSeconds: Int? {
    count == 10 ? Int(self).flatMap { $0 < 9_999_999_999 ? $0 : nil } : nil
  }
}
