// Which other workers a database wants beside its mirror worker. Mirror worker.
#pragma once

#include <cstdint>

namespace dbnet::bgworker {

// Bits (1 << WorkerKind) of the companions that settings and configuration ask for. Outside transactions.
uint32_t wanted_companions();

} // namespace dbnet::bgworker
