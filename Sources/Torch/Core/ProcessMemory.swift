import Foundation

/// What the process takes of the machine's memory.
package enum ProcessMemory {
  /// Bytes of this process that lie in memory; 0 where the system does not tell.
  package static var residentBytes: Int {
    #if canImport(Darwin)
      var info = proc_taskinfo()
      let size = Int32(MemoryLayout<proc_taskinfo>.size)
      return proc_pidinfo(getpid(), PROC_PIDTASKINFO, 0, &info, size) == size
        ? Int(info.pti_resident_size) : 0
    #else
      // proc(5): the second number of statm counts resident pages.
      let fields =
        (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
      return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    #endif
  }

  /// The largest resident size so far; nil where the system does not tell.
  package static var peakBytes: Int? {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
      let kibibytes = Int(line.filter(\.isNumber))
    else { return nil }
    return kibibytes * 1024
  }
}
