import Foundation

/// What a service is called, and what it lets clients do.
public struct ServingConfiguration: Sendable {
  /// What requests may take.
  public struct Limits: Sendable {
    /// Texts that are written at once.
    public var runningTexts = 64
    /// Requests that wait for that; more are refused with 429.
    public var waitingRequests = 256
    /// Bytes of what a text begins with, so that it is not long read for tokens that the model cannot hold; at most 16 for each
    /// that it can.
    public var promptBytes = 64 << 10
    /// New tokens of a text.
    public var newTokens = 1024
    /// Width times height of a picture.
    public var pixels = 50_000_000
    /// Memory for pictures that were encoded already.
    public var pictureCacheBytes = 64 << 20
    /// Pictures that are fetched from their URLs at once; further ones wait for that, as many as requests may.
    public var fetches = 32
    /// Seconds of a request, waiting included.
    public var seconds = 120.0

    /// Limits for a model that shares its machine.
    public init() {}
  }

  /// The model's name.
  public var model: String
  /// Other names that clients may call it by.
  public var aliases: [String] = []
  /// Whether a text begins with what the last user message says; otherwise that is passed over, as models that were not
  /// trained with prompts need it.
  public var usesPrompts = true
  /// What requests without a picture are answered; they are refused when nil.
  public var textOnlyAnswer: String?
  /// Fetches the picture behind an http or https URL; its error says in a few words why it cannot be had. Such URLs are
  /// refused when nil.
  public var fetchPicture: (@Sendable (_ url: String) async throws -> Data)?
  /// The origin that pages of other sites may call from, or `*`; none when nil.
  public var allowedOrigin: String?
  /// The names that requests may have as their `Host`, without a port and in small letters; any when nil. A page of another
  /// site whose name leads to this machine is so kept from a server that asks for no key.
  public var hosts: Set<String>?
  /// Who may ask; anyone when nil.
  public var keys: APIKeys?
  /// What requests may take.
  public var limits = Limits()

  /// - Parameter model: what clients call it
  public init(model: String) { self.model = model }
}
