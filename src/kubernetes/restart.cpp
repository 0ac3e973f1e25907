// The annotation of kubectl rollout restart (see restart.hpp). Mirror worker and backends.
#include "kubernetes/restart.hpp"

#include <ctime>

namespace dbnet::kubernetes {

FieldPath restarted_at_field() {
    return FieldPath::parse("spec.template.metadata.annotations").child("kubectl.kubernetes.io/restartedAt");
}

std::string restart_time(std::chrono::system_clock::time_point moment) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(moment);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[sizeof "2000-01-01T00:00:00Z"];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
