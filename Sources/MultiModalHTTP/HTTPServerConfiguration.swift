/// How a server listens and what it takes.
public struct HTTPServerConfiguration: Sendable {
  /// A certificate with its chain, and its key, as PEM texts.
  public struct TLS: Sendable {
    /// The certificate and those between it and a root.
    public var certificate: String
    /// The certificate's own.
    public var privateKey: String

    /// Neither is checked before the server starts.
    public init(certificate: String, privateKey: String) {
      self.certificate = certificate
      self.privateKey = privateKey
    }
  }

  /// A name or address of this machine.
  public var host = "127.0.0.1"
  /// 0 for any that is free.
  public var port: UInt16 = 8080
  /// Plain HTTP when nil.
  public var tls: TLS?
  /// The most bytes of a body.
  public var maxBodyBytes = 32 << 20
  /// The most bytes of all bodies that are worked on at once; who sends more is told to come again. A request takes a few times
  /// its body.
  public var maxHeldBytes = 512 << 20
  /// The most connections at once; further ones wait until one ends. Fewer where the system lets the program open fewer files.
  public var maxConnections = 1000
  /// Seconds without a byte after which a connection is closed, and within which a request must have come as a whole and an
  /// answer that is complete must be taken.
  public var clientTimeout = 60

  /// On port 8080 of this machine alone.
  public init() {}
}
