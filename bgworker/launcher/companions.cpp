// Companions of the mirror worker (see companions.hpp).
#include "bgworker/launcher/companions.hpp"

#include "pg/shared_memory.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {
namespace {

const pg::Statement has_policies{"SELECT FROM dbnet.policy WHERE enabled LIMIT 1"};

constexpr uint32_t bit(pg::WorkerKind kind) noexcept {
    return 1u << static_cast<uint32_t>(kind);
}

} // namespace

uint32_t wanted_companions() {
    uint32_t kinds = 0;
    if (*settings::gateway_listen != '\0')
        kinds |= bit(pg::WorkerKind::gateway);
    if (*settings::api_listen != '\0')
        kinds |= bit(pg::WorkerKind::api);
    if (pg::in_transaction([] { return pg::execute(has_policies).affected(); }) > 0)
        kinds |= bit(pg::WorkerKind::policy);
    return kinds;
}

} // namespace dbnet::bgworker
