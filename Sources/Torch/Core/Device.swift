import CTorch

/// Where a tensor's memory lies and its operators run.
public struct Device: Hashable, Sendable {
  /// One of LibTorch's kinds of device, by its number of `c10::DeviceType`; those that this library does not compute on too.
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// LibTorch's number of the device type (c10/core/DeviceType.h).
    public let rawValue: Int32

    /// Any number is taken; whether there is such a device shows when it is used.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The processor.
    public static let cpu = Kind(rawValue: 0)
    /// NVIDIA's GPUs.
    public static let cuda = Kind(rawValue: 1)
    /// Apple's GPUs.
    public static let mps = Kind(rawValue: 13)
  }

  /// What it is.
  public let kind: Kind
  /// Which of several devices of one kind; 0 for the CPU.
  public let index: Int

  /// The first one of its kind unless an index says otherwise.
  public init(_ kind: Kind, index: Int = 0) {
    self.kind = kind
    self.index = index
  }

  /// The processor.
  public static let cpu = Device(.cpu)
  /// The first of NVIDIA's GPUs.
  public static let cuda = Device(.cuda)
  /// Apple's GPU.
  public static let mps = Device(.mps)

  /// Reads `cpu`, `cuda`, `cuda:1` or `mps`.
  /// - Throws: `TorchError` when the name is none of these or this machine has no such device.
  public init(_ name: String) throws {
    let parts = name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let kinds: [String: Kind] = ["cpu": .cpu, "cuda": .cuda, "mps": .mps]
    guard let kind = kinds[parts[0]], parts.count <= 2, let index = parts.count == 2 ? Int(parts[1]) : 0,
      index >= 0, kind == .cuda || parts.count == 1
    else {
      throw TorchError("device \"\(name)\" is not known: give cpu, cuda, cuda:1 (a number) or mps")
    }
    self.init(kind, index: index)
    guard index < Device.count(of: kind) else {
      let found = Device.count(of: kind)
      throw TorchError(
        found == 0
          ? "device \"\(name)\" is not available with this LibTorch on this machine: use cpu"
          : "device \"\(name)\" is not there: this machine has \(found) of its kind, counted from 0")
    }
  }

  /// How many devices of a kind this machine and this LibTorch have.
  public static func count(of kind: Kind) -> Int {
    kind == .cpu ? 1 : Int(ct_device_count(kind.rawValue))
  }

  /// The index LibTorch wants: none for kinds that have one device alone.
  var bridgeIndex: Int32 { kind == .cpu ? -1 : Int32(clamping: index) }
}

extension Device: CustomStringConvertible {
  /// As `init(_:)` reads it.
  public var description: String {
    switch kind {
    case .cpu, .mps: "\(kind)"
    default: "\(kind):\(index)"
    }
  }
}

extension Device.Kind: CustomStringConvertible {
  /// LibTorch's name, such as `cuda`.
  public var description: String {
    guard let name = ct_device_name(rawValue) else { return "device kind \(rawValue)" }
    defer { ct_free(name) }
    return String(cString: name)
  }
}
