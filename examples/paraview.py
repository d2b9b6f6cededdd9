"""ParaView: a run starts from an image of VTK's (.vti), and VTK reads what it wrote, as ParaView would.

    R² = R₀² - 4 L κ t,   A = 4π R²

A ball shrinks by its curvature, in three dimensions twice as fast as a circle. VTK's NetCDF reader takes fields.nc, contours it,
and measures the surface. Needs VTK: pip install vtk.

Run time: 4 s on 2 cores. Picture: paraview.png
"""

import sys
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkFiltersCore import vtkContourFilter, vtkMassProperties
from vtkmodules.vtkIONetCDF import vtkNetCDFCFReader
from vtkmodules.vtkIOXML import vtkXMLImageDataReader, vtkXMLImageDataWriter

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, R = (32, 12) if QUICK else (64, 25)
END = 0.7 * R**2 / 4

# What another program has written: values at points, x the fastest.
x = np.arange(N) - (N - 1) / 2
z, y, x = np.meshgrid(x, x, x, indexing="ij")
ball = np.tanh((R - np.sqrt(x**2 + y**2 + z**2)) / np.sqrt(2))
with tempfile.TemporaryDirectory() as folder:
    image = vtkImageData(dimensions=(N, N, N))
    image.point_data.SetScalars(numpy_to_vtk(ball.ravel(), deep=True))
    vtkXMLImageDataWriter(file_name=f"{folder}/ball.vti", input_data_object=image).Write()
    reader = vtkXMLImageDataReader(file_name=f"{folder}/ball.vti")
    reader.Update()
    start = vtk_to_numpy(reader.GetOutput().point_data.GetScalars()).reshape(N, N, N).T  # x, y, z

run = pf.run(
    "model=allen_cahn",  # L = κ = 1
    f"grid.shape=[{N},{N},{N}]",
    f"time.end={END}",
    "time.tolerance=0.02",
    f"output.every={END / 4}",
    initial={"eta": start},
)

reader = vtkNetCDFCFReader(file_name=str(run.path / "fields.nc"))
reader.UpdateMetaData()
reader.SetDimensions("(z, y, x)")
contour = vtkContourFilter(input_connection=reader.GetOutputPort())
contour.SetValue(0, 0.0)
contour.SetInputArrayToProcess(0, 0, 0, 0, "eta")
areas, surfaces = [], []
for time in run.fields.time.values:
    contour.UpdateTimeStep(time)
    mass = vtkMassProperties(input_connection=contour.GetOutputPort())
    mass.UpdateTimeStep(time)
    areas.append(mass.GetSurfaceArea())
    surface = contour.GetOutput()
    faces = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    surfaces.append((vtk_to_numpy(surface.GetPoints().GetData()), faces))
times, areas = run.fields.time.values, np.array(areas)
slope = np.polyfit(times, areas, 1)[0]

figure = plt.figure(figsize=(8, 3.6), layout="constrained")
left, right = figure.add_subplot(121, projection="3d"), figure.add_subplot(122)
for i, (points, faces) in enumerate(surfaces[::2]):
    left.plot_trisurf(*points.T, triangles=faces, color=plt.cm.viridis(i / 3), alpha=0.25 + 0.3 * i, lw=0)
left.set(xlabel="x", ylabel="y", zlabel="z", box_aspect=(1, 1, 1), title="surfaces of VTK")
right.plot(times, areas, "o", label="VTK, from fields.nc")
right.plot(times, 4 * np.pi * (R**2 - 4 * times), "k--", lw=1, label="4π (R₀² - 4 L κ t)")
right.set(xlabel="time t", ylabel="surface A", title=f"dA/dt = {slope:.1f}")
right.legend()
figure.savefig("paraview.png", dpi=150)

print(f"dA/dt of the surface: {slope:.2f}, expected {-16 * np.pi:.2f} within 2 %")
assert abs(slope / (-16 * np.pi) - 1) < 0.02
