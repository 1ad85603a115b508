import Foundation

/// A file's bytes, mapped into memory. Writing to them changes a private copy, never the file.
final class MappedFile: @unchecked Sendable {
  let url: URL
  let base: UnsafeMutableRawPointer
  let count: Int

  init(_ url: URL) throws {
    // A pipe would be waited for in vain where nobody writes to it.
    let descriptor = open(url.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw FileError("\(url.path) cannot be opened: \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw FileError("\(url.path) is no regular file, whose bytes can be read in any order: give one")
    }
    guard status.st_size > 0 else { throw FileError("\(url.path) is empty") }
    count = Int(status.st_size)
    let mapped = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0)
    guard let mapped, mapped != MAP_FAILED else {
      throw FileError("\(url.path) cannot be mapped into memory: \(String(cString: strerror(errno)))")
    }
    base = mapped
    self.url = url
  }

  deinit { munmap(base, count) }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// A tensor over the bytes from `offset` on; copied where the offset does not suit the dtype.
  /// - Parameter isAlone: no other tensor lies over these bytes, so they leave memory with it
  func tensor(at offset: Int, shape: [Int], strides: [Int]? = nil, dtype: DType, isAlone: Bool = false) throws
    -> Tensor
  {
    if offset % dtype.size == 0 {
      let owner: AnyObject & Sendable =
        isAlone ? Region(self, offset..<offset + shape.reduce(1, *) * dtype.size) : self
      return try Tensor(memory: base + offset, shape: shape, strides: strides, dtype: dtype, owner: owner)
    }
    let size = shape.reduce(1, *) * dtype.size
    let copy = try Tensor(uninitialized: shape, dtype: dtype)
    try copy.withUnsafeMutableBytes {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: base + offset, count: size))
    }
    return copy
  }

  /// Some bytes of a file, which the system may forget once nobody needs them: it can read them again.
  private final class Region: Sendable {
    private let file: MappedFile
    private let range: Range<Int>

    init(_ file: MappedFile, _ range: Range<Int>) {
      self.file = file
      self.range = range
    }

    deinit {
      let page = sysconf(Int32(_SC_PAGESIZE))
      let first = (range.lowerBound + page - 1) / page * page
      let last = range.upperBound / page * page
      if first < last { madvise(file.base + first, last - first, MADV_DONTNEED) }
    }
  }
}
