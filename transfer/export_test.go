package transfer

// What tests see of the bounds of a courier's queue.
const (
	CourierBytes   = courierBytes
	CourierParcels = courierParcels
	TogetherBytes  = togetherBytes

	CourierPatience = courierPatience
	MaxUnreadable   = maxUnreadable
)

// Couriers gives how many couriers there are.
func (s *Server) Couriers() int { return len(s.couriers.all()) }
