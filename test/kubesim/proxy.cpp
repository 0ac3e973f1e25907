// The proxy as what answers requests: it passes them on to another server.
#include "proxy.hpp"

#include "errors.hpp"
#include "router.hpp"

namespace kubesim {

void Proxy::handle(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) {
    if (request->too_large) {
        Response response = error_response(
            ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", json::object()));
        response.close = true;
        return answer->respond(response);
    }
    // A certificate that is not ours would be nobody's there, either.
    if (request->has_certificate && !request->certificate_valid)
        return answer->respond(error_response(ApiError::unauthorized()));
    upstream_.send(request, answer, request->has_certificate);
}

} // namespace kubesim
