#pragma once

namespace gpt4mm {

/// To be called now and then from a thread that computes: sees to it that threads which wait for others spin only where
/// the CPUs are not wanted for anything else.
void adapt_waiting();

}  // namespace gpt4mm
